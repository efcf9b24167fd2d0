"""Which calls each thing that a customer does causes: the bank's call graph, as data.

A course is one way that an action can go (a transfer that is booked, one that is blocked, ...);
which one follows from the action alone. It is a tree of hops, each with the answer that it gets.
This is what `synthesize` writes and what a real run is compared with; `bank/access.yaml` allows
exactly these.
"""

from dataclasses import dataclass
from typing import Final

from meshwarden.lab.customers import Kind
from meshwarden.lab.mesh import CARD_NETWORK_HOST, TOKEN_SERVICE

CUSTOMERS: Final = "external:customers"
CARD_NETWORK: Final = f"external:{CARD_NETWORK_HOST}"


@dataclass(frozen=True, slots=True)
class Hop:
    """One call and those that it causes, in their order; parties are services' names."""

    source: str
    destination: str
    method: str
    route: str
    status: int
    causes: tuple["Hop", ...] = ()

    @property
    def key(self) -> str:
        """What tells this hop from others in records and calibrations."""
        return f"{self.source} {self.destination} {self.method} {self.route} {self.status}"


def _edge(method: str, route: str, status: int, *causes: Hop) -> Hop:
    return Hop(CUSTOMERS, "gateway", method, route, status, causes)


def _identity(method: str, page: str, status: int, *causes: Hop) -> Hop:
    return _edge(method, f"/idp{page}", status, Hop("gateway", "idp", method, page, status, causes))


def _message(source: str) -> Hop:
    return Hop(source, "notifications", "POST", "/v1/messages", 202)


def _entries(source: str) -> Hop:
    return Hop(source, "ledger", "GET", "/v1/accounts/{}/entries", 200)


def _login(*after: Hop) -> tuple[Hop, ...]:
    return (
        _identity("GET", "/authorize", 200),
        _identity("POST", "/authorize", 302, *after),
        _identity("POST", "/token", 200),
        _identity("GET", "/userinfo", 200),
    )


def _screening(source: str, *, large: bool) -> Hop:
    profile = Hop("aml", "accounts", "GET", "/v1/customers/{}", 200)
    return Hop(source, "aml", "POST", "/v1/screenings", 200, (profile,) if large else ())


def _own_token(source: str) -> Hop:
    """Return the call for a token of the same transaction in one's own name."""
    return Hop(source, TOKEN_SERVICE, "POST", "/token", 200)


def _booking(where: str) -> tuple[Hop, ...]:
    return (_own_token("payments"), Hop("payments", "ledger", "POST", f"/v1/{where}", 201))


def _transfer(*, large: bool, blocked: bool) -> tuple[Hop, ...]:
    checks = (_OWNERSHIP, _screening("payments", large=large))
    status = 422 if blocked else 201
    booking = _booking("large-transfers" if large else "transfers")
    causes = checks if blocked else (*checks, *booking, _message("payments"))
    inner = Hop("gateway", "payments", "POST", "/v1/transfers", status, causes)
    return (_edge("POST", "/v1/transfers", status, inner),)


def _card_payment(*, declined: bool) -> tuple[Hop, ...]:
    authorization = Hop("payments", CARD_NETWORK, "POST", "/v1/authorizations", 201)
    causes: tuple[Hop, ...] = (_OWNERSHIP, authorization)
    if not declined:
        causes = (*causes, *_booking("transfers"), _message("payments"))
    inner = Hop("gateway", "payments", "POST", "/v1/card-payments", 201, causes)
    return (_edge("POST", "/v1/card-payments", 201, inner),)


def _credit(*, approved: bool) -> tuple[Hop, ...]:
    paid = Hop("scoring", "payments", "POST", "/v1/disbursements", 201, _booking("transfers"))
    payout = (_own_token("scoring"), paid)
    causes = (
        Hop("scoring", "accounts", "GET", "/v1/customers/{}", 200),
        _entries("scoring"),
        _screening("scoring", large=True),
        *(payout if approved else ()),
        _message("scoring"),
    )
    inner = Hop("gateway", "scoring", "POST", "/v1/applications", 201, causes)
    return (_edge("POST", "/v1/credit-applications", 201, inner),)


def _of_account(what: str, inner: Hop) -> tuple[Hop, ...]:
    route = f"/v1/accounts/{{}}/{what}"
    read = Hop("gateway", "accounts", "GET", route, 200, (inner,))
    return (_edge("GET", route, 200, read),)


_OWNERSHIP: Final = Hop("payments", "accounts", "GET", "/v1/accounts/{}", 200)
# The token service is no customer, but comes in by the same door: the identity provider's keys.
KEYS_HOP: Final = _identity("GET", "/jwks", 200)

# Per kind of action, the courses that it can take, by number; `synthesize` picks one per action.
COURSES: Final[dict[Kind, tuple[tuple[Hop, ...], ...]]] = {
    Kind.LOGIN: (_login(), _login(_message("idp"))),
    Kind.ACCOUNTS: (
        (
            _edge(
                "GET",
                "/v1/accounts",
                200,
                Hop("gateway", "accounts", "GET", "/v1/customers/{}/accounts", 200),
            ),
        ),
    ),
    Kind.BALANCE: (
        _of_account("balance", Hop("accounts", "ledger", "GET", "/v1/accounts/{}/balance", 200)),
    ),
    Kind.STATEMENT: (_of_account("statement", _entries("accounts")),),
    Kind.TRANSFER: (
        _transfer(large=False, blocked=False),
        _transfer(large=True, blocked=False),
        _transfer(large=False, blocked=True),
        _transfer(large=True, blocked=True),
    ),
    Kind.CARD_PAYMENT: (_card_payment(declined=False), _card_payment(declined=True)),
    Kind.CREDIT: (_credit(approved=False), _credit(approved=True)),
}
