"""Every compile target answers as `decide` does, or says at compile time where it does not.

What a target says that it lacks is refused there, never let through; where it says that it is wider
(a NetworkPolicy), it is so by exactly what it names.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from regopy import Interpreter
from tests.evaluators.cases import HERE, ClusterCases
from tests.evaluators.istio import ISSUER, Arriving, IstioProxy
from tests.evaluators.linkerd import LinkerdProxy
from tests.evaluators.networkpolicy import Pod, connects

from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, HttpRequest, Service, decide, normalize_path
from meshwarden.policy.match import Claims
from meshwarden.policy.targets import Cluster, TokenIssuer, istio, linkerd, networkpolicy, rego
from meshwarden.policy.targets.cluster import place_of

POLICIES, QUESTIONS = 60, 60
HTTP = 8080
ISSUED = TokenIssuer(issuer=ISSUER, jwks_uri=f"{ISSUER}/jwks")
LABELS = {"app": "callee"}

Question = tuple[HttpRequest, Claims | None]


def _questions(cases: ClusterCases, policy: AccessPolicy) -> list[Question]:
    """Return requests; one whose token does not verify never comes to a policy."""
    asked = (cases.request(policy) for _ in range(QUESTIONS))
    return [
        (request, None if token is None else token.claims)
        for request, token in asked
        if token is None or (not token.refused and _is_plain(token.claims))
    ]


def _is_plain(claims: Claims | None) -> bool:
    """Whether `acr` and `req_wl` are no lists; that Istio would look into these is said."""
    return claims is None or not any(isinstance(claims.get(c), list) for c in ("acr", "req_wl"))


def _arriving(request: HttpRequest, claims: Claims | None) -> Arriving:
    return Arriving(
        source=request.source, port=HTTP, method=request.method, path=request.path, claims=claims
    )


@pytest.fixture(params=range(4))
def cases(request: pytest.FixtureRequest) -> ClusterCases:
    return ClusterCases(1000 + request.param)


def test_istio_answers_as_the_policy_does(cases: ClusterCases) -> None:
    cluster = Cluster(token_issuer=ISSUED)
    seen = {True: 0, False: 0}
    for number in range(POLICIES):
        policy = cases.policy(number)
        proxy = IstioProxy(istio.compile_policy(policy, cluster).objects(), "core", LABELS)
        for request, claims in _questions(cases, policy):
            if "#" in request.path:
                continue  # no request target (RFC 9112, section 3.2); under Istio it is cut off
            path = normalize_path(request.path)
            expected = _decided(policy, request, claims)
            if path is not None and set(path) & set("*[]"):
                assert proxy.allows(_arriving(request, claims)) <= expected
                continue
            assert proxy.allows(_arriving(request, claims)) == expected, (request, claims)
            seen[expected] += 1
        for _ in range(10):
            asked = cases.connection()
            arriving = Arriving(source=asked.source, port=asked.port)
            assert proxy.allows(arriving) == decide(policy, asked).allowed
    assert min(seen.values()) > 100


def _decided(policy: AccessPolicy, request: HttpRequest, claims: Claims | None) -> bool:
    """Return the reference's answer of rules that no target can enforce: without `once`."""
    return decide(_without_once(policy), request, claims).allowed


def _without_once(policy: AccessPolicy) -> AccessPolicy:
    callee = policy.services["callee"]
    kept = tuple(rule for rule in callee.accepts if rule.token is None or not rule.token.once)
    return _with(policy, replace(callee, accepts=kept))


def _with(policy: AccessPolicy, callee: Service) -> AccessPolicy:
    services = {**policy.services, "callee": callee}
    return AccessPolicy(trust_domain=policy.trust_domain, services=services)


def test_istio_asks_the_authorizer_about_single_use(cases: ClusterCases) -> None:
    cluster = Cluster(token_issuer=ISSUED, authorizer="once")
    for number in range(POLICIES // 4):
        policy = cases.policy(number)
        objects = list(istio.compile_policy(policy, cluster).objects())
        willing = IstioProxy(objects, "core", LABELS, authorizer=True)
        unwilling = IstioProxy(objects, "core", LABELS, authorizer=False)
        for request, claims in _questions(cases, policy):
            if set(request.path) & set("*[]"):
                continue
            arriving = _arriving(request, claims)
            assert willing.allows(arriving) == decide(policy, request, claims).allowed
            assert unwilling.allows(arriving) <= _decided(policy, request, claims)


def test_linkerd_never_allows_more_and_refuses_only_what_it_said(cases: ClusterCases) -> None:
    chance = np.random.default_rng(cases.seed)
    seen = {True: 0, False: 0}
    for number in range(POLICIES):
        policy = _in_cluster(cases.policy(number))
        if sum(rule.tcp is None for rule in policy.services["callee"].accepts) < 2:
            continue  # the cases are drawn from a rule after the probe's
        compiled = linkerd.compile_policy(policy)
        said = {part.rule for part in compiled.unexpressed}
        proxy = LinkerdProxy(compiled.objects(), "core", LABELS, {"http": HTTP})
        for request, _ in _questions(cases, policy):
            if "#" in request.path:
                continue  # no request target (RFC 9112, section 3.2); Linkerd cuts it off
            decision = decide(policy, request)
            order = [int(index) for index in chance.permutation(len(proxy.routes))]
            allowed = proxy.allows(_arriving(request, None), order)
            assert allowed <= decision.allowed, request
            as_sent = request.path.partition("?")[0] == normalize_path(request.path)
            if as_sent and decision.rule not in said:
                assert allowed == decision.allowed, (request, decision)
                seen[allowed] += 1
        for _ in range(10):
            asked = cases.connection()
            arriving = Arriving(source=asked.source, port=asked.port)
            answer = proxy.allows(arriving, range(len(proxy.routes)))
            assert answer == decide(policy, asked).allowed
    assert min(seen.values()) > 50


def _in_cluster(policy: AccessPolicy) -> AccessPolicy:
    """Return the policy with callers that a cluster knows, and nothing that all targets lack."""
    callee = policy.services["callee"]
    known = (
        replace(rule, sources=tuple(s for s in rule.sources if place_of(s) is not None))
        for rule in callee.accepts
    )
    return _with(policy, replace(callee, accepts=tuple(rule for rule in known if rule.sources)))


def test_networkpolicy_lets_through_what_some_rule_of_the_caller_does_on_that_port(
    cases: ClusterCases,
) -> None:
    for number in range(POLICIES):
        policy = _declared(_in_cluster(cases.policy(number)))
        objects = list(networkpolicy.compile_policy(policy).objects())
        rules = policy.services["callee"].accepts
        for service in policy.services.values():
            for port in (HTTP, 5432, 6379, 9):
                rule = any(
                    service.identity in rule.sources and (rule.tcp or HTTP) == port
                    for rule in rules
                )
                found = connects(objects, _pod(service), _pod(policy.services["callee"]), port)
                assert found == rule, (service.name, port)


def _declared(policy: AccessPolicy) -> AccessPolicy:
    """Return the policy with each caller as a service: others have no pods to speak of."""
    names = {"payments", "statements"}
    others = {
        name: Service(
            name=name, identity=SpiffeId.parse(f"spiffe://bank.example/ns/core/sa/{name}")
        )
        for name in names
    }
    services = {**others, **policy.services}
    return AccessPolicy(trust_domain=policy.trust_domain, services=services)


def _pod(service: Service) -> Pod:
    place = place_of(service.identity)
    assert place is not None
    return Pod(namespace=place.namespace, labels={"app": service.name}, ports={"http": HTTP})


class Rego:
    """The compiled module and data, run by the embedded engine."""

    def __init__(self, policy: AccessPolicy) -> None:
        files = rego.compile_policy(policy).files
        self._engine = Interpreter()
        self._engine.add_module("policy", files["policy.rego"])
        self._engine.add_data_json(json.dumps(files["data.json"]))
        self._bundle = self._engine.build("data.meshwarden.access.rule")

    def rule(self, asked: dict[str, Any]) -> str | None:
        self._engine.set_input_term(json.dumps(asked))
        output = self._engine.query_bundle(self._bundle)
        rule: str | None = output.results[0].expressions[0]
        return rule


def test_rego_names_the_rule_that_the_reference_names(cases: ClusterCases) -> None:
    seen = {True: 0, False: 0}
    for number in range(POLICIES // 4):
        policy = cases.policy(number)
        engine = Rego(policy)
        for request, claims in _questions(cases, policy):
            asked: dict[str, Any] = {"source": str(request.source), "destination": str(HERE)}
            asked["claims"] = claims
            found = engine.rule(asked | {"method": request.method, "path": request.path})
            decision = decide(_without_once(policy), request, claims)
            if request.path.partition("?")[0] == normalize_path(request.path):
                assert found == decision.rule, (request, claims, found)
                seen[decision.allowed] += 1
            else:
                assert found is None
        for _ in range(10):
            link = cases.connection()
            asked = {"source": str(link.source), "destination": str(HERE), "port": link.port}
            assert engine.rule(asked) == decide(policy, link).rule
    assert min(seen.values()) > 20
