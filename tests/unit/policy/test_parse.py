import json
from pathlib import Path
from typing import Any

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import InputError, SpiffeId
from meshwarden.policy import AccessPolicy, Egress, TokenRequirement, parse_policy

GOOD = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {identity: spiffe://bank.example/gateway, edge: true}
  ledger: {identity: spiffe://bank.example/ledger, tier: 1, data: [personal, cardholder]}
  payments:
    accepts:
      - from: [gateway]
        methods: [GET]
        paths: [/v1/entries]
      - {from: [gateway], tcp: 5432}
      # end
    egress: [{host: api.example, port: 443}]
    identity: spiffe://bank.example/payments
"""
VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "policy" / "refused.json").read_text("utf-8")
)


def _policy(text: str) -> AccessPolicy:
    return parse_policy(parse_document(text.encode(), name="policy.yaml"))


def test_a_policy_keeps_all_that_was_written() -> None:
    policy = _policy(GOOD)
    ledger, payments = policy.services["ledger"], policy.services["payments"]
    assert (ledger.tier, ledger.data, ledger.edge) == (1, ("personal", "cardholder"), False)
    assert policy.services["gateway"].edge
    assert payments.egress == (Egress(host="api.example", port=443),)
    assert payments.tcp_ports == (5432,)
    rule = payments.accepts[0]
    assert rule.sources == (SpiffeId.parse("spiffe://bank.example/gateway"),)
    assert rule.methods == frozenset({"GET"})
    assert [pattern.text for pattern in rule.paths or ()] == ["/v1/entries"]
    assert policy.service_with(ledger.identity) is ledger


def test_a_rule_is_named_by_its_place_and_knows_its_line() -> None:
    rules = _policy(GOOD).services["payments"].accepts
    assert [(rule.name, rule.where) for rule in rules] == [
        ("payments.accepts[0]", "policy.yaml:8"),
        ("payments.accepts[1]", "policy.yaml:11"),
    ]


def test_identities_of_other_trust_domains_may_call() -> None:
    text = GOOD.replace("from: [gateway]", 'from: ["spiffe://partner.example/a"]', 1)
    assert (
        _policy(text).services["payments"].accepts[0].sources[0].trust_domain == "partner.example"
    )


def test_token_requirements_are_kept() -> None:
    token = "token: {scopes: [transfer:write], acr: mfa, bound: true}"
    text = GOOD.replace("# end", f"- {{from: [gateway], {token}}}")
    wanted = TokenRequirement(scopes=("transfer:write",), acr="mfa", bound=True)
    assert _policy(text).services["payments"].accepts[2].token == wanted


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["note"])
def test_what_is_wrong_is_named_with_its_line_and_a_hint(vector: dict[str, Any]) -> None:
    old, new = vector["replace"]
    assert old in GOOD
    with pytest.raises(InputError) as error:
        _policy(GOOD.replace(old, new, 1))
    assert error.value.code == vector["code"]
    assert error.value.where == f"policy.yaml:{vector['line']}"
    assert vector["hint"] in error.value.hint


def test_a_policy_without_services_is_refused() -> None:
    with pytest.raises(InputError, match="at least one service"):
        _policy("apiVersion: meshwarden.dev/v1\ntrust_domain: bank.example\nservices: {}\n")


def _with_egress(entries: str) -> AccessPolicy:
    return _policy(GOOD.replace("[{host: api.example, port: 443}]", entries))


def test_an_outside_host_may_have_to_prove_an_identity() -> None:
    found = _with_egress("[{host: h.example, port: 80, identity: spiffe://partner.example/api}]")
    [egress] = found.services["payments"].egress
    assert egress.identity == SpiffeId("partner.example", "/api")


@pytest.mark.parametrize(
    "more", ["identity: partner.example/api", "identity: [x]", "name: x", "identity: 'spiffe://'"]
)
def test_what_is_no_identity_is_refused_with_its_line(more: str) -> None:
    with pytest.raises(InputError, match=r"policy\.yaml:13"):
        _with_egress(f"[{{host: h.example, port: 80, {more}}}]")


def test_one_host_and_port_has_one_identity() -> None:
    one = "{host: h.example, port: 80}"
    other = "{host: h.example, port: 80, identity: spiffe://p.example/a}"
    with pytest.raises(InputError, match="two identities"):
        _with_egress(f"[{one}, {other}]")
