"""A replacement never has more than the token that it replaces."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tokens.world import NOW, PAYMENTS, World, token_policy

from meshwarden.kernel import SpiffeId
from meshwarden.tokens import (
    Exchanged,
    ExchangeRequest,
    Grant,
    SubjectKind,
    TokenPolicy,
    UnverifiedToken,
)
from meshwarden.tokens.risk import Assessment, Verdict

SCOPES = ("accounts:read", "transfer:write", "ledger:post", "report:run")


def policy_of(scopes: frozenset[str], client: SpiffeId) -> TokenPolicy:
    base = token_policy()
    grants = {client: Grant(scopes=scopes, exchange=True, replace=True)}
    return TokenPolicy(
        trust_domain=base.trust_domain, issuer=base.issuer, scopes=base.scopes, clients=grants,
        issuers=base.issuers, assurance=base.assurance, risk=base.risk,
    )  # fmt: skip


@given(
    first=st.sets(st.sampled_from(SCOPES[:3]), min_size=1),
    second=st.sets(st.sampled_from(SCOPES), min_size=1),
    granted=st.sets(st.sampled_from(SCOPES), min_size=1),
    details=st.dictionaries(st.sampled_from(["a", "b", "amount_minor"]), st.integers(0, 3)),
    later=st.integers(0, 25),
)
def test_narrowing_never_widens(
    first: set[str], second: set[str], granted: set[str], details: dict[str, int], later: int
) -> None:
    world = World(policy=policy_of(frozenset(SCOPES), PAYMENTS), idp=WORLD.idp, ours=WORLD.ours)

    def asked(scopes: set[str], kind: SubjectKind, more: dict[str, int]) -> ExchangeRequest:
        return ExchangeRequest(
            audience="bank.example", scopes=tuple(sorted(scopes)), kind=kind,
            subject_token=UnverifiedToken("x"), details=more,
        )  # fmt: skip

    token = world.issued(asked=asked(first, SubjectKind.ACCESS_TOKEN, {"a": 1}), client=PAYMENTS)
    now = NOW + timedelta(seconds=later)
    if now.timestamp() >= token.claims.expires:
        return
    subject = world.replacement_subject(token.token, now=now)
    world.policy = policy_of(frozenset(granted), PAYMENTS)
    found = world.exchange(
        asked(second, SubjectKind.TXN_TOKEN, details), PAYMENTS, subject, now=now
    )
    if isinstance(found, Exchanged):
        assert set(found.claims.scopes) <= set(token.claims.scopes) & granted
        assert found.claims.expires <= token.claims.expires
        assert (found.claims.transaction, found.claims.subject) == (
            token.claims.transaction,
            token.claims.subject,
        )
        assert token.claims.details.items() <= found.claims.details.items()
        assert found.claims.audience == token.claims.audience


@given(score=st.floats(-20, 30))
def test_more_risk_never_means_a_longer_life(score: float) -> None:
    def life(risk: float) -> int:
        found = WORLD.exchange(risk=Assessment(score=risk, verdict=Verdict.ALLOW))
        assert isinstance(found, Exchanged)
        return found.claims.expires - found.claims.issued

    assert 3 <= life(score + 1) <= life(score) <= 20


WORLD = World()
