"""Signing keys are replaced in time, with overlap; no hop refuses a valid token."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tokens.world import NOW

from meshwarden.kernel import ConfigError, InputError
from meshwarden.tokens import (
    create_key,
    parse_jwks,
    published_keys,
    render_jwks,
    rotate_keys,
    signing_key,
)
from meshwarden.tokens.keys import AFTER, AHEAD, PERIOD
from meshwarden.tokens.model import MAX_LIFETIME_S


def test_the_first_start_makes_a_key_that_signs_at_once() -> None:
    [key] = rotate_keys((), now=NOW)
    assert signing_key([key], now=NOW) is key


@given(steps=st.lists(st.integers(1, 7200), min_size=1, max_size=40))
def test_a_token_verifies_until_its_end_however_keys_were_replaced_meanwhile(
    steps: list[int],
) -> None:
    now, keys = NOW, rotate_keys((), now=NOW)
    for step in steps:
        signer = signing_key(keys, now=now)
        assert signer.kid in published_keys(keys, now=now)
        later = now + timedelta(seconds=min(step, MAX_LIFETIME_S))
        assert signer.kid in published_keys(rotate_keys(keys, now=later), now=later)
        now += timedelta(seconds=step)
        keys = rotate_keys(keys, now=now)


def test_a_key_is_published_before_it_signs_and_after_it_has() -> None:
    [first] = rotate_keys((), now=NOW)
    due = NOW + PERIOD - AHEAD
    both = rotate_keys((first,), now=due)
    assert signing_key(both, now=due) is first
    assert len(published_keys(both, now=due)) == 2
    assert signing_key(both, now=due + AHEAD) is both[1]
    assert first.kid in published_keys(both, now=due + AHEAD + AFTER - timedelta(seconds=1))
    assert rotate_keys(both, now=NOW + PERIOD + AHEAD + AFTER) == both[1:]


def test_a_forced_rotation_waits_until_hops_have_seen_the_key() -> None:
    keys = rotate_keys(rotate_keys((), now=NOW), now=NOW, force=True)
    assert signing_key(keys, now=NOW) is keys[0]
    assert rotate_keys(keys, now=NOW, force=True) == keys  # one ahead is enough


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_keys_survive_the_way_through_a_jwk_set(algorithm: str) -> None:
    key = create_key(NOW, algorithm=algorithm)
    found = parse_jwks(render_jwks([key.public]).encode(), where="x")
    assert found[key.kid].algorithm == algorithm
    assert found[key.kid].key == key.public.key
    with pytest.raises(ConfigError):
        create_key(NOW, algorithm="HS256")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "jwks.form"),
        (b"[]", "jwks.form"),
        (b'{"keys": {}}', "jwks.form"),
        (b'{"keys": [1]}', "jwks.form"),
        (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "jwks.private"),
        (b'{"keys": [{"kty": "EC", "d": "x"}]}', "jwks.private"),
        (b'{"keys": [' + b"{}," * 64 + b"{}]}", "jwks.form"),
        (b" " * 300_000, "jwks.size"),
    ],
)
def test_a_bad_jwk_set_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_jwks(raw, where="x")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "key",
    [
        b'{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}',  # not on the curve
        b'{"kty": "RSA", "n": "3q2-7w", "e": "AQAB"}',  # 32 bits
        b'{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}',
        b'{"kty": "new"}',
        b'{"kty": "EC", "use": "enc", "crv": "P-256", "x": "AA", "y": "AA"}',
    ],
)
def test_a_key_that_is_not_understood_is_skipped(key: bytes) -> None:
    assert parse_jwks(b'{"keys": [' + key + b"]}", where="x") == {}
