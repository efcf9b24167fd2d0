"""The card network: another company, outside the mesh. `python -m ...cardnetwork PORT`.

Authorizes what a merchant asks for; declines merchants that it has closed. Like any such company it
also takes documents and publishes announcements, and one of its merchants may be an attacker: what
arrived for him is counted (`GET /v1/received`), which is how the demonstration judges whether data
left the bank.
"""

import os
import sys
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.fields import Fields, read_fields
from meshwarden.lab.bank.rules import ANNOUNCEMENTS, COLLECTOR, DOCUMENTS
from meshwarden.lab.bank.service import build_service, now_s, serve

CLOSED_MERCHANT: Final = "Closed Shop"
_MEMO: Final = 15_000
MAX_ARRIVALS: Final = 4096


@dataclass(slots=True)
class Received:
    """What arrived for the attacker.

    Attributes:
        requests: how many requests.
        octets: of their bodies.
        first_s: when the first was there, seconds since the epoch; None: none was.
        arrivals: when how many octets were there, the newest `MAX_ARRIVALS`.
    """

    requests: int = 0
    octets: int = 0
    first_s: float | None = None
    arrivals: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=MAX_ARRIVALS))

    def count(self, octets: int) -> None:
        """Count `octets` that are there now."""
        self.octets += octets
        arrived = now_s()
        self.arrivals.append((arrived, octets))
        if self.first_s is None:
            self.first_s = arrived


def build_app() -> Starlette:
    """Return the card network."""
    received = Received()

    async def authorization(request: Request) -> Response:
        fields = await read_fields(request, "key", "merchant", "amount_minor", "currency", "memo")
        merchant = _authorization(fields)
        if merchant == COLLECTOR:
            received.requests += 1
            received.count(int(request.headers.get("content-length", "0")))
        closed = merchant.startswith(CLOSED_MERCHANT)
        return JSONResponse({"decision": "declined" if closed else "approved"}, status_code=201)

    async def document(request: Request) -> Response:
        received.requests += 1
        async for chunk in request.stream():
            received.count(len(chunk))
        return JSONResponse({"status": "filed"}, status_code=201)

    async def announcements(_: Request) -> Response:
        received.requests += 1
        received.count(0)
        return JSONResponse({"announcements": []})

    async def report(_: Request) -> Response:
        return JSONResponse(asdict(received) | {"arrivals": list(received.arrivals)})

    return build_service(
        [
            Route("/v1/authorizations", authorization, methods=["POST"]),
            Route(DOCUMENTS, document, methods=["POST"]),
            Route(ANNOUNCEMENTS, announcements, methods=["GET"]),
            Route("/v1/received", report, methods=["GET"]),
        ]
    )


def _authorization(fields: Fields) -> str:
    """Return the merchant of a well-formed authorization; ProblemError 422."""
    fields.key(), fields.amount(), fields.currency()
    fields.text("memo", longest=_MEMO, default="-")
    return fields.text("merchant", longest=70)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["PORT"] = sys.argv[1]  # noqa: TID251  # an argument is the setting here
    os.environ.pop("MESHWARDEN_SOCKET", None)  # noqa: TID251  # it is outside the mesh
    serve(build_app())
