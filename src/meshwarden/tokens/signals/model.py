"""Security events as CAEP 1.0 names them, and subjects as RFC 9493 does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
SSF: Final = "https://schemas.openid.net/secevent/ssf/event-type/"
TYPE: Final = "secevent+jwt"


class EventType(StrEnum):
    """The events that are understood."""

    SESSION_REVOKED = f"{CAEP}session-revoked"
    CREDENTIAL_CHANGE = f"{CAEP}credential-change"
    DEVICE_COMPLIANCE_CHANGE = f"{CAEP}device-compliance-change"
    ASSURANCE_LEVEL_CHANGE = f"{CAEP}assurance-level-change"
    RISK_LEVEL_CHANGE = f"{CAEP}risk-level-change"
    VERIFICATION = f"{SSF}verification"
    STREAM_UPDATED = f"{SSF}stream-updated"


CAEP_EVENTS: Final = tuple(one for one in EventType if one.startswith(CAEP))


class ErrorCode(StrEnum):
    """Why a SET is not taken (RFC 8935, section 2.4)."""

    INVALID_REQUEST = "invalid_request"
    INVALID_KEY = "invalid_key"
    INVALID_ISSUER = "invalid_issuer"
    INVALID_AUDIENCE = "invalid_audience"
    AUTHENTICATION_FAILED = "authentication_failed"
    ACCESS_DENIED = "access_denied"
    INVALID_STATE = "invalid_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetError:
    """Why a SET is not taken; the answer is 400 with this."""

    err: ErrorCode
    description: str

    def as_json(self) -> dict[str, str]:
        """Return the body of the answer."""
        return {"err": self.err.value, "description": self.description}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectId:
    """Whom an event is about, as far as it is understood here.

    Attributes:
        user: `sub` at `issuer`; None where it names no user.
        issuer: of user and session.
        session: the session's id at the issuer; never logged, only its hash is kept.
        workload: a SPIFFE ID.
    """

    user: str | None = None
    issuer: str | None = None
    session: str | None = field(default=None, repr=False)
    workload: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """One verified event.

    Attributes:
        issuer: of the SET.
        jti: its id, unique for the issuer.
        type: what happened.
        subject: to whom.
        time: when, seconds since the epoch.
        details: the event's own members.
        transaction: `txn`, the same for events of one cause.
    """

    issuer: str
    jti: str
    type: EventType
    subject: SubjectId
    time: int
    details: Mapping[str, Any] = field(default_factory=dict)
    transaction: str | None = None
