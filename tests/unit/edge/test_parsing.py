"""What an edge reads of strangers' requests, and what it tells them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwarden.tokens import OAuthCode, OAuthError, UnverifiedToken
from meshwarden.tokens.challenge import refusal_of, step_up
from meshwarden.tokens.edge import (
    client_address,
    parse_bearer,
    parse_body,
    parse_query,
)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_is_taken_in_any_case_of_its_scheme(scheme: str) -> None:
    found = parse_bearer(f"{scheme} aaa.bbb.ccc")
    assert isinstance(found, UnverifiedToken)
    assert found.reveal() == "aaa.bbb.ccc"


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Bearer a b", "Bearer a,Bearer b", "Bearer a, b", "Basic eDp5",
        "Bearer a\n", "Bearer é", "DPoP a.b.c", "a.b.c", "Bearer  ", "Bearer a=b", "Bearer\ta",
    ],
)  # fmt: skip
def test_anything_else_is_an_invalid_request(header: str) -> None:
    found = parse_bearer(header)
    assert isinstance(found, OAuthError)
    assert found.reason == "bearer.scheme"
    assert refusal_of(found, ()).status == 400


def test_a_long_token_is_refused_before_it_is_looked_at() -> None:
    found = parse_bearer("Bearer " + "a" * 8193)
    assert isinstance(found, OAuthError)
    assert found.reason == "bearer.length"


@given(st.text(max_size=200))
def test_no_header_breaks_the_parser(header: str) -> None:
    found = parse_bearer(header)
    assert isinstance(found, OAuthError | UnverifiedToken)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"1", b"null", b"{", b"\xff", b'{"a": 1, "a": 2}', b'{"a": NaN}',
        b'{"a": ' + b"[" * 50 + b"]" * 50 + b"}", b"[" * 5000,
    ],
)  # fmt: skip
def test_a_body_that_two_readers_may_read_differently_is_refused(raw: bytes) -> None:
    found = parse_body(raw, ("a",))
    assert isinstance(found, OAuthError)
    assert found.reason == "edge.body"


def test_only_named_and_plain_members_become_details() -> None:
    raw = json.dumps(
        {"a": 7, "b": "x" * 257, "c": {"d": 1}, "e": [1], "f": True, "g": 1e16, "h": "x", "i": None}
    ).encode()
    assert parse_body(raw, tuple("abcdefgi")) == {"a": 7, "f": True}
    assert parse_body(b"no JSON", ()) == {}  # where nothing is read, nothing is wrong


@given(st.binary(max_size=300))
def test_no_body_breaks_the_parser(raw: bytes) -> None:
    found = parse_body(raw, ("a",))
    assert isinstance(found, OAuthError | dict)


def test_parameters_are_taken_from_the_query() -> None:
    assert parse_query("/x?a=1&b=%20y&c=3", ("a", "b")) == {"a": "1", "b": " y"}
    assert parse_query("/x", ("a",)) == {}
    assert parse_query("/x?a=1", ()) == {}


@pytest.mark.parametrize(
    "query", ["a=1&a=2", "a=%ff", "a=" + "x" * 257, "&".join(f"b{n}=1" for n in range(65))]
)
def test_a_query_with_two_meanings_is_refused(query: str) -> None:
    found = parse_query(f"/x?{query}", ("a",))
    assert isinstance(found, OAuthError)
    assert found.reason == "edge.query"


@pytest.mark.parametrize(
    ("forwarded", "hops", "address"),
    [
        ("198.51.100.7", 0, "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7", 0, "198.51.100.7"),  # what the client claims is not believed
        ("1.1.1.1, 203.0.113.9, 10.0.0.1", 1, "203.0.113.9"),
        ("10.0.0.1", 2, "10.0.0.1"),
        ("", 0, ""),
        ("x," * 5000 + "198.51.100.7", 0, "198.51.100.7"),
    ],
)
def test_the_clients_address_is_what_trusted_proxies_say(
    forwarded: str, hops: int, address: str
) -> None:
    assert client_address(forwarded, hops) == address


def _error(code: OAuthCode, reason: str = "x.y") -> OAuthError:
    return OAuthError(error=code, description="", reason=reason, acr_values=("mfa",), max_age_s=300)


@pytest.mark.parametrize(
    ("error", "status", "challenge"),
    [
        (_error(OAuthCode.INVALID_REQUEST, "bearer.missing"), 401, "Bearer"),
        (_error(OAuthCode.INVALID_REQUEST, "edge.body"), 400, 'Bearer error="invalid_request"'),
        (_error(OAuthCode.INVALID_REQUEST, "token.expired"), 401, 'Bearer error="invalid_token"'),
        (
            _error(OAuthCode.STEP_UP),
            401,
            'Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="300"',
        ),
        (
            _error(OAuthCode.INVALID_SCOPE),
            403,
            'Bearer error="insufficient_scope", scope="a b"',
        ),
        (_error(OAuthCode.ACCESS_DENIED), 403, None),
        (_error(OAuthCode.UNAUTHORIZED_CLIENT), 403, None),
        (_error(OAuthCode.UNAVAILABLE), 503, None),
    ],
)
def test_each_reason_has_its_answer(error: OAuthError, status: int, challenge: str | None) -> None:
    found = refusal_of(error, ("a", "b"))
    assert (found.status, found.challenge) == (status, challenge)
    assert json.loads(found.body)["code"] == error.reason


def test_a_challenge_names_only_what_is_asked() -> None:
    assert step_up((), None, reason="r").challenge == (
        'Bearer error="insufficient_user_authentication"'
    )
