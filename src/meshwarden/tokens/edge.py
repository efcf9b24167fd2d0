"""What an edge asks of requests from outside, and what it reads of them.

An edge route says which scopes its transaction token gets and which of the request's own parameters
become the token's `tctx`. What no route names is not let in; what needs no login is named too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from meshwarden.kernel.strict_json import parse_object
from meshwarden.tokens.errors import OAuthCode, OAuthError
from meshwarden.tokens.model import MAX_TOKEN_BYTES, UnverifiedToken

HINTS: Final = ("sec-ch-ua-platform", "sec-ch-ua-mobile", "sec-ch-ua-model")
"""Headers that tell devices apart (User-Agent Client Hints); versions change too often."""

MAX_BODY_BYTES: Final = 16 * 1024
MAX_DETAILS: Final = 8
_MAX_TEXT: Final = 256
_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)  # RFC 6750, 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRoute:
    """One way in.

    Attributes:
        name: its place in the policy (`edge.gateway.routes[0]`).
        methods: HTTP methods; None: any.
        paths: path patterns as in the access policy.
        scopes: of the token that it gets, ascending.
        body: members of the JSON body that become details of the transaction.
        query: parameters of the query that do.
        where: `file:line`.
    """

    name: str
    methods: tuple[str, ...] | None
    paths: tuple[str, ...]
    scopes: tuple[str, ...]
    body: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeAccess:
    """What one edge lets in.

    Attributes:
        routes: for customers with an access token; the first that fits holds.
        open: path patterns that need no login.
        hints: headers that tell devices apart.
        trusted_hops: proxies in front of the edge whose `X-Forwarded-For` is believed.
    """

    routes: tuple[EdgeRoute, ...]
    open: tuple[str, ...] = ()
    hints: tuple[str, ...] = HINTS
    trusted_hops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRequest:
    """What the edge shows of a request; nothing in it is proven.

    Attributes:
        authorization: the header's value; several headers come joined by commas. None: none.
        scopes: what the route's token gets.
        context: address and device, for risk.
        details: the operation's parameters.
    """

    authorization: str | None
    scopes: tuple[str, ...]
    context: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def parse_bearer(authorization: str | None) -> UnverifiedToken | OAuthError:
    """Return the token of an `Authorization` header (RFC 6750, section 2.1).

    >>> parse_bearer("Basic dXNlcg==").reason
    'bearer.scheme'
    """
    if authorization is None:
        return _invalid("bearer.missing", "an access token is needed")
    if len(authorization) > MAX_TOKEN_BYTES + len("bearer "):
        return _invalid("bearer.length", f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    found = _BEARER.fullmatch(authorization)
    if found is None:
        return _invalid("bearer.scheme", "one Authorization header with a bearer token is needed")
    return UnverifiedToken(found[1])


def parse_body(raw: bytes, names: tuple[str, ...]) -> dict[str, Any] | OAuthError:
    """Return the members `names` of a JSON body; a refusal where it is no JSON object.

    What is neither a short text nor a number is left out: it is the service's to refuse.
    """
    if not names:
        return {}
    try:
        found = parse_object(raw)
    except (ValueError, RecursionError):
        return _invalid("edge.body", "the body is no JSON object")
    return {name: found[name] for name in names if name in found and _is_plain(found[name])}


def parse_query(path: str, names: tuple[str, ...]) -> dict[str, str] | OAuthError:
    """Return the parameters `names` of a request's query; a refusal where one stands twice."""
    raw = path.partition("?")[2]
    if not names or not raw:
        return {}
    try:
        pairs = [
            pair for pair in parse_qsl(raw, errors="strict", max_num_fields=64) if pair[0] in names
        ]
    except ValueError:
        return _invalid("edge.query", "the query cannot be read")
    found = {name: value for name, value in pairs if len(value) <= _MAX_TEXT}
    if len(found) != len(pairs):
        return _invalid("edge.query", "a parameter stands twice, or is too long")
    return found


def client_address(forwarded_for: str, trusted_hops: int) -> str:
    """Return the client's address of an `X-Forwarded-For` to which the edge added its peer's.

    Where fewer proxies left their mark than are trusted, nobody is believed: the peer it is.

    >>> client_address("6.6.6.6, 203.0.113.9, 10.0.0.1", 1)
    '203.0.113.9'
    >>> client_address("10.0.0.1", 1)
    '10.0.0.1'
    """
    places = [place.strip() for place in forwarded_for[-2048:].split(",")]
    return places[-1 - trusted_hops] if len(places) > trusted_hops else places[-1]


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return isinstance(value, int | float) and abs(value) < 1e15


def _invalid(reason: str, description: str) -> OAuthError:
    return OAuthError(error=OAuthCode.INVALID_REQUEST, description=description, reason=reason)
