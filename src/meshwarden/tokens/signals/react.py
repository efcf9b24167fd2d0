"""What a security event changes: sessions and subjects that are revoked, or asked to prove more.

| event | reaction |
|---|---|
| session-revoked | the session, or all of the user's as of the event's time, is revoked |
| credential-change: revoke, delete, update | the user is revoked as of its time: sign in again |
| device-compliance-change to not-compliant | the session is revoked; a user without one, wholly |
| assurance-level-change, decreased | the user is revoked as of its time: prove yourself again |
| risk-level-change to HIGH | the session, or the user as of its time, is revoked |
| anything better than before | nothing: what was refused was refused for a reason |
"""

from datetime import UTC, datetime
from typing import Final

from meshwarden.tokens.model import session_hash
from meshwarden.tokens.revocation import RevokedKind
from meshwarden.tokens.signals.model import EventType, SecurityEvent

_WORSE: Final = frozenset({"revoke", "delete", "update"})


def reaction(
    event: SecurityEvent, *, prefix: str = "", token_issuer: str | None = None
) -> tuple[RevokedKind, str, datetime] | None:
    """Return what is to be revoked and since when; None where nothing follows.

    Args:
        event: a verified event.
        prefix: what stands before this issuer's subjects in our tokens.
        token_issuer: the `iss` of its access tokens, where it is not that of its events.
    """
    if not _is_worse(event):
        return None
    time = datetime.fromtimestamp(event.time, UTC)
    subject = event.subject
    if subject.session is not None:
        issuer = token_issuer or subject.issuer or event.issuer
        return RevokedKind.SESSION, session_hash(issuer, subject.session), time
    if subject.user is not None and subject.issuer in {token_issuer, event.issuer}:
        return RevokedKind.SUBJECT, f"{prefix}{subject.user}", time
    return None


def _is_worse(event: SecurityEvent) -> bool:
    details = event.details
    match event.type:
        case EventType.SESSION_REVOKED:
            return True
        case EventType.CREDENTIAL_CHANGE:
            return details.get("change_type") in _WORSE
        case EventType.DEVICE_COMPLIANCE_CHANGE:
            return details.get("current_status") == "not-compliant"
        case EventType.ASSURANCE_LEVEL_CHANGE:
            return details.get("change_direction") != "increase"
        case EventType.RISK_LEVEL_CHANGE:
            return details.get("current_level") == "HIGH"
        case _:
            return False
