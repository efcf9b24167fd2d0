"""Anti-money-laundering screening: a sanction list, and payments split to stay under a threshold.

A listed name is blocked. Several payments shortly below the reporting threshold within a day are
held for review (structuring). A large amount has the customer's profile looked at as well. The
history lives in this process, bounded, and starts empty.
"""

import time
import unicodedata
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshwarden.lab.bank.directory import SANCTIONED
from meshwarden.lab.bank.fields import read_fields
from meshwarden.lab.bank.rules import STEP_UP_MINOR
from meshwarden.lab.bank.service import build_service, call, outbound_client, serve

REPORTING_MINOR: Final = 10_000_00
NEAR: Final = 0.9  # from this share of the threshold on, a payment counts as just below it
NEAR_PAYMENTS: Final = 3  # so many within WINDOW_S are structuring
WINDOW_S: Final = 86_400
_CUSTOMERS_KEPT: Final = 10_000


class Structuring:
    """Counts, per customer, the payments just below the threshold within the window."""

    def __init__(self) -> None:
        self._near: OrderedDict[str, deque[float]] = OrderedDict()

    def observe(self, customer: str, amount_minor: int, at_s: float) -> bool:
        """Return whether this payment completes a pattern of structuring."""
        if not REPORTING_MINOR * NEAR <= amount_minor < REPORTING_MINOR:
            return False
        times = self._near.setdefault(customer, deque(maxlen=NEAR_PAYMENTS))
        self._near.move_to_end(customer)
        if len(self._near) > _CUSTOMERS_KEPT:
            self._near.popitem(last=False)
        times.append(at_s)
        return len(times) == NEAR_PAYMENTS and at_s - times[0] <= WINDOW_S


def build_app(client: httpx.AsyncClient, *, now: Callable[[], float] = time.monotonic) -> Starlette:
    """Return the service with an empty history."""
    listed = {normalize_name(name) for name in SANCTIONED}
    structuring = Structuring()

    async def screening(request: Request) -> Response:
        fields = await read_fields(request, "customer", "name", "amount_minor")
        customer, amount_minor = fields.customer("customer"), fields.amount()
        names = {normalize_name(fields.text("name", longest=70))}
        if amount_minor >= STEP_UP_MINOR:
            profile = await call(client, "GET", f"http://accounts/v1/customers/{customer}")
            names.add(normalize_name(str(profile.get("name", ""))))
        if names & listed:
            return JSONResponse({"decision": "block", "reason": "sanctions"})
        if structuring.observe(customer, amount_minor, now()):
            return JSONResponse({"decision": "review", "reason": "structuring"})
        return JSONResponse({"decision": "clear", "reason": "none"})

    return build_service([Route("/v1/screenings", screening, methods=["POST"])], client=client)


def normalize_name(name: str) -> str:
    """Return the name without case, accents and repeated spaces, as names are compared."""
    plain = unicodedata.normalize("NFKD", name)
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(kept.casefold().split())


if __name__ == "__main__":
    serve(build_app(outbound_client()))
