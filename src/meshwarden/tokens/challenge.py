"""What a client outside is told: prove yourself (RFC 6750), more surely (RFC 9470), or no.

The body is a problem (RFC 9457) with a stable code; nothing of the token, nor which inner rule
refused, is in it.
"""

import json
from dataclasses import dataclass
from typing import Final

from meshwarden.tokens.errors import OAuthCode, OAuthError

_SCHEME: Final = "Bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer to a client outside.

    Attributes:
        status: HTTP status.
        reason: stable and dotted, for metrics and logs.
        body: a problem, JSON.
        challenge: of `WWW-Authenticate`; None where proving oneself would not help.
    """

    status: int
    reason: str
    body: str
    challenge: str | None = None


def step_up(acr_values: tuple[str, ...], max_age_s: int | None, *, reason: str) -> Refusal:
    """Return the challenge to prove oneself more surely, or again (RFC 9470, section 3)."""
    more = {"acr_values": " ".join(acr_values)} if acr_values else {}
    if max_age_s is not None:
        more["max_age"] = str(max_age_s)
    detail = "this needs a stronger or more recent login"
    return _challenged(401, reason, detail, OAuthCode.STEP_UP.value, more)


def refusal_of(error: OAuthError, scopes: tuple[str, ...]) -> Refusal:
    """Return what a client outside is told about why there is no transaction token."""
    match error.error:
        case OAuthCode.STEP_UP:
            return step_up(error.acr_values, error.max_age_s, reason=error.reason)
        case OAuthCode.INVALID_SCOPE:
            more = {"scope": " ".join(scopes)}
            detail = "the access token does not cover this"
            return _challenged(403, error.reason, detail, "insufficient_scope", more)
        case OAuthCode.ACCESS_DENIED:
            return _problem(403, error.reason, "this request is too unlike the customer")
        case OAuthCode.UNAVAILABLE:
            return unavailable(error.reason)
        case OAuthCode.UNAUTHORIZED_CLIENT | OAuthCode.INVALID_TARGET:
            return _problem(403, error.reason, "this edge may not let this in")
    if error.reason == "bearer.missing":  # RFC 6750, section 3.1: no error code without a token
        return Refusal(
            status=401, reason=error.reason, challenge=_SCHEME,
            body=_body(401, error.reason, "an access token is needed"),
        )  # fmt: skip
    if error.reason.startswith(("edge.", "bearer.")):
        return _challenged(400, error.reason, error.description, "invalid_request", {})
    return _challenged(401, error.reason, "the access token is not taken", "invalid_token", {})


def used_before(reason: str) -> Refusal:
    """Return the answer to a token that counts once, and does not count."""
    return _problem(403, reason, "this needs a transaction token that was not used before")


def unavailable(reason: str) -> Refusal:
    """Return the answer where it cannot be decided at the moment."""
    return _problem(503, reason, "whether to let this in cannot be decided at the moment")


def _challenged(status: int, reason: str, detail: str, error: str, more: dict[str, str]) -> Refusal:
    parameters = ", ".join(f'{name}="{value}"' for name, value in ({"error": error} | more).items())
    return Refusal(
        status=status, reason=reason, body=_body(status, reason, detail),
        challenge=f"{_SCHEME} {parameters}",
    )  # fmt: skip


def _problem(status: int, reason: str, detail: str) -> Refusal:
    return Refusal(status=status, reason=reason, body=_body(status, reason, detail))


def _body(status: int, code: str, detail: str) -> str:
    return json.dumps({"status": status, "code": code, "detail": detail})
