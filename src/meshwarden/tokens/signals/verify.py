"""Verifies security event tokens as SSF 1.0 profiles them (RFC 8417; SSF 1.0, section 4).

The rules exclude every other kind of token: `typ` is demanded, and `exp` and `sub`, which access
and transaction tokens must have, must not be there.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from meshwarden.tokens.errors import TokenError
from meshwarden.tokens.jws import Parsed, VerificationKey, media_type, verify_signature
from meshwarden.tokens.model import SKEW_S
from meshwarden.tokens.signals.model import (
    TYPE,
    ErrorCode,
    EventType,
    SecurityEvent,
    SetError,
    SubjectId,
)
from meshwarden.tokens.times import number_of

MAX_AGE_S: Final = 7 * 86400
"""Older events are history: what they ask for is over, or a replay."""

_MAX_TEXT: Final = 512


def verify_set(
    parsed: Parsed,
    keys: Mapping[str, VerificationKey],
    *,
    issuer: str,
    audience: str,
    now: datetime,
) -> SecurityEvent | SetError:
    """Return the event, or the error of RFC 8935 that answers its transmitter.

    Args:
        parsed: the SET, its form read.
        keys: of its transmitter, by `kid`.
        issuer: the transmitter that is expected.
        audience: our name as a receiver.
        now: the time of day.
    """
    claims = parsed.unverified_claims
    if media_type(parsed.header) != TYPE:
        return _invalid(f"typ is not {TYPE}")
    if claims.get("iss") != issuer:
        return SetError(err=ErrorCode.INVALID_ISSUER, description="another issuer is expected")
    key = keys.get(str(parsed.header.get("kid", "")))
    try:
        if key is None:
            return SetError(err=ErrorCode.INVALID_KEY, description="no key of that name is known")
        verify_signature(parsed, key)
    except TokenError as error:
        return SetError(err=ErrorCode.INVALID_KEY, description=error.why)
    found = claims.get("aud")
    if audience not in (
        [found] if isinstance(found, str) else found if isinstance(found, list) else []
    ):
        return SetError(err=ErrorCode.INVALID_AUDIENCE, description="it is for someone else")
    return _event(claims, issuer, now)


def _event(claims: Mapping[str, Any], issuer: str, now: datetime) -> SecurityEvent | SetError:
    if "exp" in claims or "sub" in claims:
        return _invalid("a SET has neither exp nor sub (SSF 1.0, 4.1.3 and 4.1.7)")
    jti, events = claims.get("jti"), claims.get("events")
    if not _is_text(jti) or not isinstance(events, dict) or len(events) != 1:
        return _invalid("jti and exactly one event are needed (SSF 1.0, 4.1.8)")
    [(name, details)] = events.items()
    if name not in set(EventType) or not isinstance(details, dict):
        return _invalid("the event is of an unknown type")
    try:
        issued = number_of(claims, "iat")
        happened = number_of(details, "event_timestamp")
    except TokenError as error:
        return _invalid(error.why)
    moment = now.timestamp()
    if issued is None or not moment - MAX_AGE_S <= issued <= moment + SKEW_S:
        return _invalid("iat is missing, in the future, or a week old")
    subject = parse_subject(claims.get("sub_id"), issuer)
    if subject is None:
        return _invalid("sub_id is missing or of a format that is not understood")
    transaction = claims.get("txn")
    return SecurityEvent(
        issuer=issuer,
        jti=str(jti),
        type=EventType(name),
        subject=subject,
        time=int(min(happened if happened is not None else issued, issued)),
        details=details,
        transaction=transaction if _is_text(transaction) else None,
    )


def parse_subject(found: object, issuer: str) -> SubjectId | None:
    """Return whom a subject identifier names; None where it cannot be told.

    A complex subject is understood if its user, session and application are; other members narrow
    it, and an event about less than what is understood is not taken for one about all of it.
    """
    if not isinstance(found, dict):
        return None
    kind = found.get("format")
    if kind == "iss_sub" and _is_text(found.get("iss")) and _is_text(found.get("sub")):
        return SubjectId(user=found["sub"], issuer=found["iss"])
    if kind == "uri" and _is_text(found.get("uri")) and found["uri"].startswith("spiffe://"):
        return SubjectId(workload=found["uri"])
    if kind == "opaque" and _is_text(found.get("id")):
        return SubjectId(session=found["id"], issuer=issuer)
    if kind == "complex":
        return _complex({name: one for name, one in found.items() if name != "format"}, issuer)
    return None


def _complex(members: Mapping[str, object], issuer: str) -> SubjectId | None:
    if not members or set(members) - {"user", "session", "application"}:
        return None
    parts = {name: parse_subject(one, issuer) for name, one in members.items()}
    if any(part is None for part in parts.values()):
        return None
    user, session, application = (parts.get(name) for name in ("user", "session", "application"))
    if session is not None and session.session is None:
        return None
    return SubjectId(
        user=user.user if user else None,
        issuer=(user.issuer if user else None) or (session.issuer if session else None),
        session=session.session if session else None,
        workload=application.workload if application else None,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= _MAX_TEXT and value.isprintable()


def _invalid(description: str) -> SetError:
    return SetError(err=ErrorCode.INVALID_REQUEST, description=description)
