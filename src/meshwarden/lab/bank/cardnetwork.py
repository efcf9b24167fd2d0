"""The card network: another company, outside the mesh. `python -m ...cardnetwork PORT`.

Authorizes what a merchant asks for; declines merchants that it has closed.
"""

import os
import sys
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.fields import read_fields
from meshwarden.lab.bank.service import build_service, serve

CLOSED_MERCHANT: Final = "Closed Shop"


def build_app() -> Starlette:
    """Return the card network."""

    async def authorization(request: Request) -> Response:
        fields = await read_fields(request, "key", "merchant", "amount_minor", "currency")
        fields.key(), fields.amount(), fields.currency()
        closed = fields.text("merchant", longest=70).startswith(CLOSED_MERCHANT)
        return JSONResponse({"decision": "declined" if closed else "approved"}, status_code=201)

    return build_service([Route("/v1/authorizations", authorization, methods=["POST"])])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["PORT"] = sys.argv[1]  # noqa: TID251  # an argument is the setting here
    os.environ.pop("MESHWARDEN_SOCKET", None)  # noqa: TID251  # it is outside the mesh
    serve(build_app())
