"""What our compiler wrote for a mesh reads back as the same policy, but for what it said it lacks."""

from dataclasses import replace

import pytest
from tests.evaluators.cases import ClusterCases
from tests.evaluators.istio import ISSUER

from meshwarden.adapters.manifests import parse_documents
from meshwarden.adapters.yaml import parse_document, render_documents
from meshwarden.policy import AccessPolicy, Rule, parse_policy
from meshwarden.policy.gate.model import Document, Subject
from meshwarden.policy.gate.subjects import subjects_of
from meshwarden.policy.intake import Draft, Layer, read_layer, render_draft
from meshwarden.policy.reach import ChangeKind, diff_policies
from meshwarden.policy.targets import (
    Cluster,
    Compiled,
    TokenIssuer,
    istio,
    linkerd,
    networkpolicy,
)
from meshwarden.policy.targets.cluster import place_of

POLICIES = 40
ISSUED = TokenIssuer(issuer=ISSUER, jwks_uri=f"{ISSUER}/jwks")


def _read_back(compiled: Compiled, layer: Layer) -> tuple[AccessPolicy, Draft]:
    """Return the policy, through the text of both formats."""
    text = render_documents(compiled.objects())
    subjects = []
    for document in parse_documents(text.encode(), "compiled.yaml"):
        assert isinstance(document, Document)
        subjects += [one for one in subjects_of(document) if isinstance(one, Subject)]
    draft = read_layer(layer, subjects)
    back = render_draft(draft, title="read back")
    return parse_policy(parse_document(back.encode(), name="back.yaml")), draft


def _cut(policy: AccessPolicy, rules: tuple[Rule, ...]) -> AccessPolicy:
    callee = replace(policy.services["callee"], accepts=rules)
    services = {**policy.services, "callee": callee}
    return AccessPolicy(trust_domain=policy.trust_domain, services=services)


@pytest.mark.parametrize("seed", range(3))
def test_istio(seed: int) -> None:
    cases = ClusterCases(seed)
    for number in range(POLICIES):
        policy = cases.policy(number)
        cluster = Cluster(token_issuer=ISSUED, authorizer="once")
        back, draft = _read_back(istio.compile_policy(policy, cluster), Layer.ISTIO)
        changes = diff_policies(policy, back).changes
        assert not [change for change in changes if change.gained]
        if not any(rule.token and rule.token.once for rule in policy.services["callee"].accepts):
            assert changes == ()  # else one that shares its operation is asked about, too
        assert draft.left_out == []


@pytest.mark.parametrize("seed", range(3))
def test_linkerd(seed: int) -> None:
    cases = ClusterCases(seed)
    for number in range(POLICIES):
        made = cases.policy(number)
        policy = _cut(made, tuple(
            replace(rule, sources=tuple(s for s in rule.sources if place_of(s) is not None))
            for rule in made.services["callee"].accepts
            if rule.token is None and any(place_of(s) is not None for s in rule.sources)
        ))  # fmt: skip
        back, draft = _read_back(linkerd.compile_policy(policy), Layer.LINKERD)
        assert diff_policies(policy, back).changes == ()
        assert draft.left_out == []


@pytest.mark.parametrize("seed", range(3))
def test_networkpolicy_keeps_callers_and_ports(seed: int) -> None:
    cases = ClusterCases(seed)
    for number in range(POLICIES):
        made = cases.policy(number)
        pay = made.services["pay"].identity
        known = tuple(
            replace(rule, sources=(pay,), methods=None, paths=None, token=None)
            for rule in made.services["callee"].accepts
            if pay in rule.sources
        )
        policy = _cut(made, known)
        back, draft = _read_back(networkpolicy.compile_policy(policy), Layer.NETWORKPOLICY)
        assert diff_policies(policy, back).changes == ()
        assert draft.left_out == []


def test_hosts_outside_come_back_from_istio() -> None:
    text = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  payments:
    identity: spiffe://bank.example/ns/core/sa/payments
    egress: [{host: api.example, port: 443}, {host: api.example, port: 22}]
  other: {identity: spiffe://bank.example/ns/core/sa/other}
"""
    policy = parse_policy(parse_document(text.encode(), name="access.yaml"))
    back, _ = _read_back(istio.compile_policy(policy), Layer.ISTIO)
    assert diff_policies(policy, back).changes == ()
    widened = replace(policy.services["other"], egress=policy.services["payments"].egress)
    wider = AccessPolicy(
        trust_domain=policy.trust_domain, services={**policy.services, "other": widened}
    )
    kinds = {change.kind for change in diff_policies(back, wider).changes}
    assert kinds == {ChangeKind.EGRESS}
