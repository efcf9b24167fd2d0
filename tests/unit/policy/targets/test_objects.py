"""The objects are what each product takes: by its schemas, its limits, and our own gate."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf.json_format import ParseDict
from tests.evaluators.cases import ClusterCases
from tests.evaluators.istio import ISSUER
from tests.evaluators.schemas import errors, load_schemas

from meshwarden.adapters.yaml import parse_document, render_documents
from meshwarden.cli import run
from meshwarden.policy import AccessPolicy, PathPattern, Rule, Service, parse_policy
from meshwarden.policy.targets import (
    Cluster,
    Compiled,
    TokenIssuer,
    istio,
    linkerd,
    networkpolicy,
)

BANK = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {identity: spiffe://bank.example/ns/edge/sa/gateway, edge: true}
  payments:
    identity: spiffe://bank.example/ns/core/sa/payments
    accepts:
      - {from: [gateway], methods: [POST], paths: [/v1/transfers], token: {scopes: ["transfer:write"], acr: mfa, bound: true}}
    egress:
      - {host: api.rates.example, port: 443}
      - {host: sftp.rates.example, port: 22}
      - {host: under_score.rates.example, port: 443}
      - {host: partner.example, port: 443, identity: spiffe://partner.example/ns/x/sa/api}
  ledger:
    identity: spiffe://bank.example/ns/core/sa/ledger
    accepts:
      - {from: [payments], methods: [POST], paths: [/v1/entries]}
      - {from: [payments, gateway], methods: [GET], paths: ["/v1/accounts/{id}", "/v1/reports/**"]}
      - {from: [gateway], methods: [GET, REPORT], paths: ["/v1/accounts/me"]}
      - {from: ["spiffe://partner.example/auditor"]}
  ledger-db:
    identity: spiffe://bank.example/ns/core/sa/ledger-db
    accepts:
      - {from: [ledger], tcp: 5432}
  legacy:
    identity: spiffe://bank.example/legacy
    accepts:
      - {from: [ledger], methods: [GET], paths: [/]}
"""
CLUSTER = Cluster(
    token_issuer=TokenIssuer(issuer=ISSUER, jwks_uri=f"{ISSUER}/jwks"), authorizer="once"
)


@pytest.fixture
def bank() -> AccessPolicy:
    return parse_policy(parse_document(BANK.encode(), name="access.yaml"))


def _policies(bank: AccessPolicy) -> Iterable[AccessPolicy]:
    cases = ClusterCases(7)
    return [bank, *(cases.policy(number) for number in range(40))]


def test_istio_objects_validate_against_its_definitions(bank: AccessPolicy) -> None:
    schemas = load_schemas("istio-crds.yaml")
    for policy in _policies(bank):
        objects = list(istio.compile_policy(policy, CLUSTER).objects())
        assert [found for made in objects for found in errors(schemas, made)] == []
        assert len({made["kind"] for made in objects}) >= 5


def test_linkerd_objects_validate_against_its_definitions(bank: AccessPolicy) -> None:
    schemas = load_schemas("linkerd-crds.yaml")
    for policy in _policies(bank):
        objects = [o for o in linkerd.compile_policy(policy).objects() if o["kind"] != "Namespace"]
        assert [found for made in objects for found in errors(schemas, made)] == []


def test_a_typing_error_would_not_validate(bank: AccessPolicy) -> None:
    schemas = load_schemas("istio-crds.yaml")
    made = next(iter(istio.compile_policy(bank, CLUSTER).objects()))
    assert errors(schemas, {**made, "spec": {"mtlss": {"mode": "STRICT"}}})
    assert errors(schemas, {**made, "spec": {"mtls": {"mode": "SOMETIMES"}}})


def test_the_filter_that_istio_hands_to_envoy_is_what_envoy_takes(bank: AccessPolicy) -> None:
    (made,) = (
        one
        for one in istio.compile_policy(bank).files["namespace.core.yaml"]
        if one["kind"] == "EnvoyFilter"
    )
    manager, first = (one["patch"]["value"] for one in made["spec"]["configPatches"])
    for message, value in ((HttpConnectionManager(), manager), (RBAC(), first)):
        typed = {k: v for k, v in value["typed_config"].items() if k != "@type"}
        assert ParseDict(typed, message).ByteSize() > 0


def test_names_are_unique_and_names_of_the_api(bank: AccessPolicy) -> None:
    for target in (istio, linkerd, networkpolicy):
        keys = [_key(made) for made in target.compile_policy(bank, CLUSTER).objects()]
        assert len(keys) == len(set(keys))
        assert all(len(name) <= 253 and name == name.lower() for *_, name in keys)


def _key(made: dict[str, Any]) -> tuple[str, str, str]:
    meta = made["metadata"]
    return made["kind"], meta.get("namespace", ""), meta["name"]


@pytest.mark.parametrize("target", ["istio", "linkerd", "networkpolicy"])
def test_the_gate_finds_nothing_of_weight_in_what_we_write(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").write_text(BANK)
    config = tmp_path / "gate.yaml"
    config.write_text("apiVersion: meshwarden.dev/v1\nallowed_hosts: ['*.rates.example']\n")
    out = str(tmp_path / "out")
    assert (
        run(["policy", "compile", str(tmp_path / "access.yaml"), "--target", target, "-o", out])
        == 0
    )
    capsys.readouterr()
    code = run(["gate", out, "--config", str(config), "--fail-on", "low", "--json"])
    assert code == 0, capsys.readouterr()


def test_what_cannot_be_said_is_said_with_its_place(bank: AccessPolicy) -> None:
    def said(compiled: Compiled) -> list[tuple[str, bool]]:
        return sorted((part.rule, part.wider) for part in compiled.unexpressed)

    assert said(istio.compile_policy(bank, CLUSTER)) == [
        ("gateway", False), ("legacy", False), ("payments", False), ("payments", False),
        ("payments.accepts[0]", True),
    ]  # fmt: skip
    assert said(linkerd.compile_policy(bank)) == [
        ("gateway", False), ("ledger.accepts[2]", False), ("ledger.accepts[3]", False),
        ("legacy", False), ("payments.accepts[0]", False),
    ]  # fmt: skip
    wider = {rule for rule, is_wider in said(networkpolicy.compile_policy(bank)) if is_wider}
    assert wider >= {"ledger.accepts[0]", "ledger.accepts[1]", "payments.accepts[0]", "payments"}
    assert all(part.where for part in linkerd.compile_policy(bank).unexpressed)


@pytest.mark.parametrize(
    ("rule", "lost"),
    [
        ({"methods": frozenset({"GET*"})}, "pattern"),
        ({"paths": (PathPattern.parse("/" + "a" * 300 + "/{id}"),)}, "too long"),
    ],
)
def test_istio_is_not_given_what_it_would_read_as_a_pattern(
    bank: AccessPolicy, rule: dict[str, Any], lost: str
) -> None:
    ledger = bank.services["ledger"]
    odd = replace(ledger, accepts=(replace(ledger.accepts[0], **rule),))
    compiled = istio.compile_policy(_only(bank, odd), CLUSTER, "ledger")
    assert [lost in part.what for part in compiled.unexpressed] == [True]
    kinds = [made["kind"] for made in compiled.files["ledger.yaml"]]
    assert "AuthorizationPolicy" not in kinds, "what is left would allow any method, or any path"


def _only(bank: AccessPolicy, service: Service) -> AccessPolicy:
    return AccessPolicy(
        trust_domain=bank.trust_domain, services={**bank.services, service.name: service}
    )


def test_many_rules_are_parted_as_the_apis_demand(bank: AccessPolicy) -> None:
    ledger = bank.services["ledger"]
    rules = tuple(
        Rule(name=f"r{n}", sources=(bank.services["payments"].identity,),
             paths=(PathPattern.parse(f"/r/{n}/{{x}}"),))
        for n in range(700)
    )  # fmt: skip
    policy = _only(bank, replace(ledger, accepts=rules))
    for target, schemas in ((istio, "istio-crds.yaml"), (linkerd, "linkerd-crds.yaml")):
        objects = target.compile_policy(policy, CLUSTER, "ledger").files["ledger.yaml"]
        assert sum(json.dumps(made).count("/r/") for made in objects) == 700
        assert all(not errors(load_schemas(schemas), made) for made in objects)
        assert max(len(json.dumps(made)) for made in objects) < 1_000_000


def test_no_document_has_an_anchor(bank: AccessPolicy) -> None:
    for content in istio.compile_policy(bank, CLUSTER).files.values():
        assert "&id" not in render_documents(content)
