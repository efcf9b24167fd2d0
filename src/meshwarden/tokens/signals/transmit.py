"""Security event tokens that we send: what we find, so that an identity provider can act on it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from meshwarden.tokens.jws import sign_compact
from meshwarden.tokens.keys import SigningKey
from meshwarden.tokens.model import UnverifiedToken
from meshwarden.tokens.signals.model import TYPE, EventType


def render_event(  # noqa: PLR0913  # one argument for each claim
    event: EventType,
    details: Mapping[str, Any],
    sub_id: Mapping[str, Any],
    *,
    key: SigningKey,
    issuer: str,
    audience: str,
    jti: str,
    now: datetime,
    transaction: str | None = None,
) -> UnverifiedToken:
    """Return the SET of one event (SSF 1.0, section 4): no `exp`, no `sub`, `sub_id` on top.

    Args:
        event: its type.
        details: its own members.
        sub_id: its subject (RFC 9493).
        key: what signs; the interoperability profile asks for RS256 with 2048 bits.
        issuer: our name as a transmitter.
        audience: the receiver's.
        jti: unique.
        now: the time of day.
        transaction: the same for all events of one cause.
    """
    moment = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "jti": jti,
        "iat": moment,
        "aud": audience,
        "sub_id": dict(sub_id),
        "events": {event.value: dict(details)},
    }
    if transaction is not None:
        claims["txn"] = transaction
    return sign_compact(claims, key.jose, algorithm=key.algorithm, kid=key.kid, typ=TYPE)


def workload_risk(now: datetime, level: str, reason: str) -> dict[str, Any]:
    """Return the members of a `risk-level-change` (CAEP 1.0, section 3.8) about a workload."""
    return {
        "event_timestamp": int(now.timestamp()),
        "initiating_entity": "system",
        "principal": "APPLICATION",
        "current_level": level,
        "risk_reason": reason[:256],
    }


def session_revoked(now: datetime, reason: str) -> dict[str, Any]:
    """Return the members of a `session-revoked` (CAEP 1.0, section 3.1)."""
    return {
        "event_timestamp": int(now.timestamp()),
        "initiating_entity": "policy",
        "reason_admin": {"en": reason[:256]},
    }
