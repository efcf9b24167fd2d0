"""How a token is refused, and how a request for one is: the first raises, the second is a value."""

from dataclasses import dataclass
from enum import StrEnum

from meshwarden.kernel import VerificationError


class TokenError(VerificationError):
    """A token that does not hold.

    Args:
        code: stable and dotted (`token.expired`).
        why: what is wrong, without any part of the token.
        clause: the standard's section that says so.
    """

    def __init__(self, code: str, why: str, *, clause: str) -> None:
        super().__init__(code, f"the token is refused: {why} ({clause})")
        self.why = why
        self.clause = clause


class OAuthCode(StrEnum):
    """The error codes of RFC 6749, section 5.2, and RFC 8693, section 2.2.2."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_SCOPE = "invalid_scope"
    INVALID_TARGET = "invalid_target"
    STEP_UP = "insufficient_user_authentication"  # RFC 9470
    ACCESS_DENIED = "access_denied"  # RFC 6749, section 4.1.2.1: refused by the server's own rules
    UNAVAILABLE = "temporarily_unavailable"  # RFC 6749, section 4.1.2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthError:
    """Why no token is issued.

    Attributes:
        error: the code that the client sees.
        description: one sentence, without any part of a token.
        reason: stable and dotted, for metrics and logs (`token.expired`, `request.duplicate`).
        acr_values: with STEP_UP, assurance levels of which any suffices, the preferred first.
        max_age_s: with STEP_UP, how old the authentication may be; None: any age.
    """

    error: OAuthCode
    description: str
    reason: str
    acr_values: tuple[str, ...] = ()
    max_age_s: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        if self.error is OAuthCode.INVALID_CLIENT:
            return 401
        return 503 if self.error is OAuthCode.UNAVAILABLE else 400

    def as_json(self) -> dict[str, str]:
        """Return the body of the answer (RFC 6749, section 5.2; RFC 9470, section 3)."""
        found = {"error": self.error.value, "error_description": self.description}
        if self.acr_values:
            found["acr_values"] = " ".join(self.acr_values)
        if self.max_age_s is not None:
            found["max_age"] = str(self.max_age_s)
        return found
