"""Security events: what each means for sessions and users, and what is taken for one at all."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tokens.world import ISSUER, NOW, NOW_S, World

from meshwarden.tokens import RevokedKind, session_hash
from meshwarden.tokens.jws import parse_compact, sign_compact
from meshwarden.tokens.signals.model import CAEP, ErrorCode, SecurityEvent, SetError
from meshwarden.tokens.signals.react import reaction
from meshwarden.tokens.signals.verify import MAX_AGE_S, verify_set

WORLD = World()
OURS = "https://tokens.bank.example/ssf"
USER = {"format": "iss_sub", "iss": ISSUER, "sub": "8f21"}
SESSION = {"format": "complex", "user": USER, "session": {"format": "opaque", "id": "s-1"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def received(
    name: str = "session-revoked", details: Any = None, *, typ: str = "secevent+jwt", **changes: Any
) -> SecurityEvent | SetError:
    claims = {
        "iss": ISSUER, "jti": "e1", "iat": NOW_S, "aud": OURS, "sub_id": USER,
        "events": {f"{CAEP}{name}": {"event_timestamp": NOW_S} if details is None else details},
    }  # fmt: skip
    claims = {key: value for key, value in (claims | changes).items() if value is not None}
    token = sign_compact(claims, WORLD.idp.jose, algorithm="ES256", kid=WORLD.idp.kid, typ=typ)
    keys = {WORLD.idp.kid: WORLD.idp.public}
    return verify_set(parse_compact(token), keys, issuer=ISSUER, audience=OURS, now=NOW)


def revoked(name: str, subject: dict[str, Any], **details: Any) -> tuple[RevokedKind, str] | None:
    event = received(name, details | {"event_timestamp": NOW_S - 60}, sub_id=subject)
    assert isinstance(event, SecurityEvent), event
    found = reaction(event)
    if found is None:
        return None
    kind, value, since = found
    assert since == datetime.fromtimestamp(NOW_S - 60, UTC)
    return kind, value


WORSE = [
    ("session-revoked", {}),
    ("credential-change", {"credential_type": "password", "change_type": "update"}),
    ("credential-change", {"credential_type": "fido2-platform", "change_type": "revoke"}),
    ("device-compliance-change", {"previous_status": "compliant", "current_status": "not-compliant"}),
    ("assurance-level-change", {"current_level": "nist-aal1", "change_direction": "decrease"}),
    ("risk-level-change", {"principal": "USER", "current_level": "HIGH"}),
]  # fmt: skip
BETTER = [
    ("credential-change", {"credential_type": "password", "change_type": "create"}),
    ("device-compliance-change", {"previous_status": "not-compliant", "current_status": "compliant"}),
    ("assurance-level-change", {"current_level": "nist-aal2", "change_direction": "increase"}),
    ("risk-level-change", {"principal": "USER", "current_level": "LOW"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "details"), WORSE)
def test_what_is_worse_than_before_revokes_the_session_or_the_user(
    name: str, details: dict[str, str]
) -> None:
    hashed = session_hash(ISSUER, "s-1")
    assert revoked(name, SESSION, **details) == (RevokedKind.SESSION, hashed)
    assert revoked(name, USER, **details) == (RevokedKind.SUBJECT, "8f21")


@pytest.mark.parametrize(("name", "details"), BETTER)
def test_what_is_better_than_before_changes_nothing(name: str, details: dict[str, str]) -> None:
    assert revoked(name, SESSION, **details) is None


def test_a_user_of_somebody_else_is_not_ours_to_revoke() -> None:
    foreign = USER | {"iss": "https://elsewhere.example"}
    assert revoked("session-revoked", foreign) is None


@pytest.mark.parametrize(
    ("changes", "err"),
    [
        ({"typ": "at+jwt"}, ErrorCode.INVALID_REQUEST),
        ({"iss": "https://evil.example"}, ErrorCode.INVALID_ISSUER),
        ({"aud": ["someone"]}, ErrorCode.INVALID_AUDIENCE),
        ({"aud": 7}, ErrorCode.INVALID_AUDIENCE),
        ({"exp": NOW_S + 60}, ErrorCode.INVALID_REQUEST),
        ({"sub": "8f21"}, ErrorCode.INVALID_REQUEST),
        ({"iat": NOW_S - MAX_AGE_S - 1}, ErrorCode.INVALID_REQUEST),
        ({"iat": NOW_S + 31}, ErrorCode.INVALID_REQUEST),
        ({"iat": None}, ErrorCode.INVALID_REQUEST),
        ({"details": {"event_timestamp": "yesterday"}}, ErrorCode.INVALID_REQUEST),
        ({"sub_id": SESSION | {"tenant": USER}}, ErrorCode.INVALID_REQUEST),
        ({"sub_id": {"format": "aliases", "identifiers": [USER]}}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_is_no_event_for_us_is_refused_with_its_error(
    changes: dict[str, Any], err: ErrorCode
) -> None:
    found = received(**changes)
    assert isinstance(found, SetError)
    assert found.err is err


@given(subject=JSON, details=JSON, happened=JSON)
def test_signed_events_of_any_shape_are_taken_or_refused(
    subject: Any, details: Any, happened: Any
) -> None:
    shapes = [details, {"event_timestamp": happened}]
    for one in shapes:
        try:
            json.dumps({"sub": subject, "d": one}, allow_nan=False)
        except ValueError:
            continue
        found = received("risk-level-change", one, sub_id=subject)
        if isinstance(found, SecurityEvent):
            reaction(found)


@pytest.mark.parametrize("when", [-1, 0, -(10**18), 10**18, 1e300, -1e300])
def test_times_beyond_any_calendar_are_refused_or_understood(when: float) -> None:
    details = {"event_timestamp": when}
    for subject in (USER, SESSION):
        found = received("session-revoked", details, sub_id=subject)
        if isinstance(found, SecurityEvent):
            assert reaction(found) is not None
