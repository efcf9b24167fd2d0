"""Whatever bytes come in, the right error goes out: never an exception of another kind, never a pass."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jws
from tests.unit.tokens.world import World, form

from meshwarden.adapters.envoy.client_certificate import parse_client
from meshwarden.kernel import InputError, VerificationError
from meshwarden.tokens import (
    ExchangeRequest,
    Expected,
    OAuthError,
    TokenError,
    UnverifiedToken,
    parse_jwks,
    parse_request,
    verify_txn_token,
)
from meshwarden.tokens.explain import inspect_token

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "tokens" / "txn-tokens.json").read_text()
)
KEYS = parse_jwks(json.dumps(DOCUMENT["jwks"]).encode(), where="vectors")
NOW = datetime.fromtimestamp(DOCUMENT["now"], UTC)
EXPECTED = Expected(trust_domain=DOCUMENT["trust_domain"], issuer=DOCUMENT["issuer"])
GOOD: str = DOCUMENT["cases"][0]["token"]
WORLD = World()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def refused(text: str) -> bool:
    try:
        verify_txn_token(UnverifiedToken(text), KEYS, EXPECTED, now=NOW)
    except TokenError as error:
        assert error.code.startswith("token.")
        return True
    return False


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@given(text=st.text(max_size=200))
@example(text="..")
@example(text="a.b.c\n")
def test_no_text_passes(text: str) -> None:
    assert refused(text)
    assert inspect_token(UnverifiedToken(text), now=NOW).problems


@given(place=st.integers(0, len(GOOD) - 1), character=st.characters())
def test_a_good_token_with_one_other_character_is_refused(place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    assert changed == GOOD or refused(changed)


@given(cut=st.integers(0, len(GOOD) - 1))
def test_a_good_token_that_is_cut_is_refused(cut: int) -> None:
    assert refused(GOOD[:cut])


@given(header=JSON, claims=JSON)
@settings(max_examples=200)
def test_any_json_under_any_header_is_refused(header: Any, claims: Any) -> None:
    signature = GOOD.split(".")[2]
    parts = [b64(json.dumps(one).encode()) for one in (header, claims)]
    assert refused(".".join([*parts, signature]))


@given(changes=st.dictionaries(st.sampled_from(["aud", "exp", "iat", "txn", "sub", "scope", "req_wl", "tctx", "rctx", "iss", "acr", "auth_time", "nbf", "sid"]), JSON, min_size=1))  # fmt: skip
@settings(max_examples=200)
def test_signed_claims_of_any_shape_never_break_the_validator(changes: dict[str, Any]) -> None:
    found = WORLD.exchange()
    assert not isinstance(found, OAuthError)
    claims = found.claims.as_json() | changes
    try:
        raw = json.dumps(claims)
    except ValueError:
        return
    token = _signed(raw.encode())
    expected = Expected(trust_domain="bank.example", issuer=WORLD.policy.issuer)
    try:
        now = datetime.fromtimestamp(found.claims.issued, UTC)
        verify_txn_token(token, {WORLD.ours.kid: WORLD.ours.public}, expected, now=now)
    except TokenError:
        return


@given(raw=st.binary(max_size=400))
def test_any_body_is_a_request_or_an_oauth_error(raw: bytes) -> None:
    assert isinstance(parse_request(raw), ExchangeRequest | OAuthError)


@given(name=st.sampled_from(["scope", "request_context", "request_details", "subject_token", "audience"]), value=st.text(max_size=60))  # fmt: skip
def test_any_value_of_a_parameter_is_taken_or_refused(name: str, value: str) -> None:
    try:
        raw = form(**{name: value})
    except UnicodeEncodeError:
        return
    assert isinstance(parse_request(raw), ExchangeRequest | OAuthError)


@given(raw=st.binary(max_size=300))
def test_any_jwk_set_is_read_or_refused(raw: bytes) -> None:
    try:
        parse_jwks(raw, where="x")
    except InputError:
        return


@given(raw=st.binary(max_size=300))
@example(raw=b"By=x;URI=spiffe://a/b;URI=spiffe://a/c")
@example(raw=b'By=x;URI="spiffe://a/b')
@example(raw=b"URI=spiffe://a/b,URI=spiffe://a/c")
def test_any_certificate_header_proves_one_identity_or_nothing(raw: bytes) -> None:
    try:
        identity, _ = parse_client([(b"x-forwarded-client-cert", raw)])
    except VerificationError:
        return
    assert raw.lower().count(b"uri=") == 1
    assert str(identity).encode() in raw


def _signed(payload: bytes) -> UnverifiedToken:

    header = {"alg": "ES256", "kid": WORLD.ours.kid, "typ": "txntoken+jwt"}
    return UnverifiedToken(
        jws.serialize_compact(header, payload, WORLD.ours.jose, algorithms=["ES256"])
    )
