"""The exchange step: what is issued, and every reason why not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.tokens.world import (
    DOMAIN,
    GATEWAY,
    NOW,
    NOW_S,
    PAYMENTS,
    SCORING,
    STRANGER,
    World,
    form,
    request,
)

from meshwarden.tokens import (
    Exchanged,
    OAuthCode,
    OAuthError,
    Revocation,
    Revocations,
    RevokedKind,
    SubjectKind,
    TokenError,
    UnverifiedToken,
    parse_request,
    session_hash,
    verify_self_signed,
)
from meshwarden.tokens.jws import sign_compact
from meshwarden.tokens.risk import Assessment, Verdict

WORLD = World()
REPLACEMENT = SubjectKind.TXN_TOKEN.value


def refused(found: object) -> tuple[OAuthCode, str]:
    assert isinstance(found, OAuthError), found
    return found.error, found.reason


def test_an_access_token_becomes_a_transaction_token() -> None:
    claims = WORLD.issued().claims.as_json()
    assert claims["aud"] == DOMAIN
    assert claims["req_wl"] == str(GATEWAY)
    assert (claims["sub"], claims["txn"], claims["scope"]) == ("8f21", "t-1", "transfer:write")
    assert claims["exp"] - claims["iat"] == 20
    assert claims["sid"] == session_hash("https://idp.bank.example", "session-1")
    assert claims["tctx"] == {"amount_minor": 4200}
    assert claims["rctx"] == {"req_ip": "203.0.113.9"}  # what the policy lists, and no more


@pytest.mark.parametrize(
    ("changes", "client", "error"),
    [
        ({"audience": "shop.example"}, GATEWAY, OAuthCode.INVALID_TARGET),
        ({}, STRANGER, OAuthCode.UNAUTHORIZED_CLIENT),
        ({}, PAYMENTS, OAuthCode.UNAUTHORIZED_CLIENT),  # it may replace, not exchange
        ({"scope": "report:run"}, GATEWAY, OAuthCode.UNAUTHORIZED_CLIENT),
        ({"scope": "no:such"}, GATEWAY, OAuthCode.INVALID_SCOPE),
    ],
)
def test_policy_refuses(changes: dict[str, str], client: Any, error: OAuthCode) -> None:
    assert refused(WORLD.exchange(request(**changes), client))[0] is error


def test_a_wider_scope_is_refused_and_a_covered_one_is_not() -> None:
    narrow = WORLD.subject(scope="accounts:read")
    assert refused(WORLD.exchange(subject=narrow))[0] is OAuthCode.INVALID_SCOPE
    assert isinstance(WORLD.exchange(request(scope="ledger:post")), Exchanged)


def test_an_authority_that_cannot_be_told_is_refused() -> None:
    found = WORLD.exchange(subject=WORLD.subject(scope=None))
    assert refused(found) == (OAuthCode.INVALID_SCOPE, "exchange.unknown_authority")


@pytest.mark.parametrize(
    "changes", [{"acr": "pwd"}, {"acr": None}, {"auth_time": NOW_S - 901}, {"auth_time": None}]
)
def test_too_little_assurance_asks_for_step_up(changes: dict[str, Any]) -> None:
    found = WORLD.exchange(subject=WORLD.subject(**changes))
    assert refused(found)[0] is OAuthCode.STEP_UP
    assert isinstance(found, OAuthError)
    assert (found.acr_values, found.max_age_s, found.status) == (("mfa",), 900, 400)


def test_risk_shortens_the_life_asks_for_step_up_and_refuses() -> None:
    def weighed(score: float, verdict: Verdict, **changes: Any) -> Any:
        risk = Assessment(score=score, verdict=verdict)
        return WORLD.exchange(subject=WORLD.subject(**changes), risk=risk)

    low = weighed(1.0, Verdict.ALLOW)
    assert (low.claims.expires - low.claims.issued, low.claims.context["risk"]) == (18, 1.0)
    assert refused(weighed(3.0, Verdict.STEP_UP, auth_time=NOW_S - 400))[0] is OAuthCode.STEP_UP
    proven = weighed(9.5, Verdict.STEP_UP)  # proved themselves a minute ago
    assert proven.claims.expires - proven.claims.issued == 3
    assert refused(weighed(11, Verdict.DENY)) == (OAuthCode.ACCESS_DENIED, "exchange.risk")


def test_a_replacement_keeps_transaction_and_subject_and_only_narrows() -> None:
    first = WORLD.issued()
    subject = WORLD.replacement_subject(first.token)
    later = NOW + timedelta(seconds=4)
    asked = request(
        subject_token_type=REPLACEMENT, request_details='{"leg": 2}', scope="transfer:write"
    )
    found = WORLD.exchange(asked, PAYMENTS, subject, now=later)
    assert isinstance(found, Exchanged)
    claims = found.claims
    assert (claims.transaction, claims.subject) == (first.claims.transaction, first.claims.subject)
    assert claims.requester == str(PAYMENTS)
    assert claims.expires <= first.claims.expires
    assert claims.details == {"amount_minor": 4200, "leg": 2}
    assert found.link.replaced == first.token.digest
    widened = request(subject_token_type=REPLACEMENT, request_details='{"amount_minor": 9}')
    assert refused(WORLD.exchange(widened, PAYMENTS, subject))[1] == "exchange.details"


def test_a_replacement_is_not_covered_by_an_outer_scope_nor_made_of_an_ended_token() -> None:
    first = WORLD.issued()
    with pytest.raises(TokenError, match="expired"):
        WORLD.replacement_subject(first.token, now=NOW + timedelta(seconds=20))
    subject = WORLD.replacement_subject(first.token)
    policy = replace(WORLD.policy, clients={PAYMENTS: WORLD.policy.clients[GATEWAY].__class__(
        scopes=frozenset({"ledger:post"}), replace=True)})  # fmt: skip
    world = World(policy=policy, idp=WORLD.idp, ours=WORLD.ours)
    asked = request(subject_token_type=REPLACEMENT, scope="ledger:post", request_details="{}")
    assert refused(world.exchange(asked, PAYMENTS, subject))[1] == "exchange.wider"


def test_a_workload_starts_work_of_its_own_and_speaks_for_nobody_else() -> None:
    def signed(**changes: Any) -> UnverifiedToken:
        claims = {
            "iss": str(SCORING),
            "sub": str(SCORING),
            "aud": WORLD.policy.issuer,
            "iat": NOW_S,
            "exp": NOW_S + 60,
        }
        return sign_compact(
            claims | changes, WORLD.idp.jose, algorithm="ES256", kid=WORLD.idp.kid, typ="JWT"
        )

    keys = {WORLD.idp.kid: WORLD.idp.public}
    subject = verify_self_signed(signed(), SCORING, keys, audience=WORLD.policy.issuer, now=NOW)
    asked = request(subject_token_type=SubjectKind.SELF_SIGNED.value, scope="report:run")
    found = WORLD.exchange(asked, SCORING, subject)
    assert isinstance(found, Exchanged)
    assert found.claims.subject == str(SCORING)
    other = request(subject_token_type=SubjectKind.SELF_SIGNED.value, scope="accounts:read")
    assert refused(WORLD.exchange(other, SCORING, subject))[1] == "exchange.own"
    with pytest.raises(TokenError, match="itself alone"):
        verify_self_signed(signed(sub="8f21"), SCORING, keys, audience=WORLD.policy.issuer, now=NOW)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"typ": "JWT"}, "token.type"),
        ({"typ": "txntoken+jwt"}, "token.type"),
        ({"iss": "https://evil.example"}, "token.issuer"),
        ({"aud": "x"}, "token.audience"),
        ({"exp": NOW_S}, "token.expired"),
        ({"client_id": None}, "token.claims"),
        ({"jti": None}, "token.claims"),
        ({"sub": None}, "token.claims"),
        ({"cnf": {"jkt": "x"}}, "token.bound"),
    ],
)
def test_access_tokens_are_held_to_rfc_9068(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(TokenError) as caught:
        WORLD.subject(**changes)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (RevokedKind.SESSION, session_hash("https://idp.bank.example", "session-1")),
        (RevokedKind.SUBJECT, "8f21"),
    ],
)
def test_nothing_is_issued_to_what_is_revoked(kind: RevokedKind, value: str) -> None:
    revoked = Revocations.of(
        [Revocation(kind=kind, value=value, time=NOW, until=NOW + timedelta(hours=1))], now=NOW
    )
    assert refused(WORLD.exchange(revoked=revoked))[1] == "token.revoked"
    if kind is RevokedKind.SUBJECT:  # whoever proves themselves afterwards goes on
        anew = WORLD.subject(auth_time=NOW_S + 1, iat=NOW_S + 1)
        assert isinstance(
            WORLD.exchange(subject=anew, now=NOW + timedelta(seconds=2), revoked=revoked), Exchanged
        )


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (form(grant_type=None), OAuthCode.INVALID_REQUEST),
        (form(grant_type="client_credentials"), OAuthCode.UNSUPPORTED_GRANT_TYPE),
        (form() + b"&scope=accounts%3Aread", OAuthCode.INVALID_REQUEST),
        (form(scope=None), OAuthCode.INVALID_REQUEST),
        (form(scope="a  b"), OAuthCode.INVALID_SCOPE),
        (form(scope='a"b'), OAuthCode.INVALID_SCOPE),
        (form(subject_token=None), OAuthCode.INVALID_REQUEST),
        (form(requested_token_type="urn:ietf:params:oauth:token-type:jwt"), OAuthCode.INVALID_REQUEST),
        (form(subject_token_type="urn:ietf:params:oauth:token-type:refresh_token"), OAuthCode.INVALID_REQUEST),
        (form(subject_token_type="urn:x"), OAuthCode.INVALID_REQUEST),
        (form(request_context="eyJhIjoxfQ"), OAuthCode.INVALID_REQUEST),
        (form(request_context="[]"), OAuthCode.INVALID_REQUEST),
        (form(request_details='{"a":1,"a":2}'), OAuthCode.INVALID_REQUEST),
        (form(request_details='{"a":"' + "x" * 3000 + '"}'), OAuthCode.INVALID_REQUEST),
        (form(actor_token="x"), OAuthCode.INVALID_REQUEST),
        (form(subject_token="x" * 40000), OAuthCode.INVALID_REQUEST),
        (b"", OAuthCode.INVALID_REQUEST),
        (b"\xff\xfe", OAuthCode.INVALID_REQUEST),
        (b"%ff=%fe&grant_type=x", OAuthCode.INVALID_REQUEST),
        (b'{"grant_type": "x"}', OAuthCode.INVALID_REQUEST),
    ],
)  # fmt: skip
def test_malformed_requests_get_the_right_error(raw: bytes, error: OAuthCode) -> None:
    assert refused(parse_request(raw))[0] is error
