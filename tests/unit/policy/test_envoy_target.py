from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import InputError
from meshwarden.policy import AccessPolicy, parse_policy
from meshwarden.policy.targets import envoy
from meshwarden.policy.targets.envoy import token_metadata

HEAD = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  a: {identity: spiffe://bank.example/a}
  b: {identity: spiffe://bank.example/b}
  ledger:
    identity: spiffe://bank.example/ledger
    accepts:
"""
ONCE = "      - {from: [a], paths: [/v1/x], token: {once: true}}\n"
A, B = "spiffe://bank.example/a", "spiffe://bank.example/b"


def _compiled(accepts: str, *, single_use_enforced: bool = False) -> dict[str, Any]:
    """Return the tree for rules of `ledger`, one a line, as a JSON object."""
    lines = "".join(f"      - {rule}\n" for rule in accepts.strip().splitlines())
    document = parse_document((HEAD + lines).encode(), name="access.yaml")
    compiled = envoy.compile_http_filter(
        parse_policy(document), "ledger", single_use_enforced=single_use_enforced
    )
    found: dict[str, Any] = MessageToDict(compiled.matcher, preserving_proto_field_name=True)
    return found


def _entries(matcher: dict[str, Any], kind: str = "exact_match_map") -> dict[str, Any]:
    entries: dict[str, Any] = matcher["matcher_tree"][kind]["map"]
    return entries


def test_a_literal_path_is_two_keys_and_no_expression() -> None:
    tree = _compiled("{from: [a, b], methods: [GET], paths: [/v1/x]}")
    literals = _entries(tree)["GET"]["matcher"]
    assert set(_entries(literals)) == {"/v1/x"}
    assert set(_entries(_entries(literals)["/v1/x"]["matcher"])) == {A, B}
    with_query = literals["on_no_match"]["matcher"]
    assert set(_entries(with_query, "prefix_match_map")) == {"/v1/x?"}
    assert "safe_regex" not in str(_entries(tree))


def test_callers_of_one_template_share_its_expression() -> None:
    tree = _compiled("""
{from: [a], methods: [GET], paths: ["/v1/{id}/x"]}
{from: [b], methods: [GET], paths: ["/v1/{name}/x"]}
""")
    below = _entries(_entries(tree)["GET"]["matcher"], "prefix_match_map")
    (template,) = below["/v1/"]["matcher"]["matcher_list"]["matchers"]
    assert set(_entries(template["on_match"]["matcher"])) == {A, B}


def test_templates_of_the_same_callers_share_one_expression() -> None:
    paths = '"/v1/{id}", "/v1/{id}/x", "/v1/{id}/y/**"'
    tree = _compiled(f"{{from: [a], methods: [GET], paths: [{paths}]}}")
    below = _entries(_entries(tree)["GET"]["matcher"], "prefix_match_map")
    assert len(below["/v1/"]["matcher"]["matcher_list"]["matchers"]) == 1


def test_rules_for_any_method_are_asked_after_those_that_name_one() -> None:
    tree = _compiled("""
{from: [a], paths: [/v1/x]}
{from: [b], methods: [GET], paths: [/v1/x]}
""")
    assert set(_entries(tree)) == {"GET"}
    assert A not in str(_entries(tree))
    assert set(_entries(tree["on_no_match"]["matcher"])) == {"/v1/x"}


def test_a_service_that_accepts_nothing_has_only_the_refusal() -> None:
    tree = _compiled("{from: [a], tcp: 5432}")
    (refusal,) = tree["matcher_list"]["matchers"]
    assert refusal["on_match"]["action"]["typed_config"]["name"] == envoy.UNCLEAN_PATH
    assert "on_no_match" not in tree


def test_a_rule_without_token_is_enough() -> None:
    tree = _compiled("""
{from: [a], methods: [GET], paths: [/v1/x], token: {scopes: [read]}}
{from: [a], methods: [GET], paths: [/v1/x]}
""")
    assert "metadata" not in str(tree)


def test_a_token_is_asked_for_type_algorithm_scopes_assurance_and_its_requester() -> None:
    token = "token: {scopes: [read, write], acr: mfa, bound: true}"
    tree = _compiled(f"{{from: [a], methods: [GET], paths: [/v1/x], {token}}}")
    leaf = _entries(_entries(_entries(tree)["GET"]["matcher"])["/v1/x"]["matcher"])[A]
    (granted,) = leaf["matcher"]["matcher_list"]["matchers"]
    asked = [one["single_predicate"] for one in granted["predicate"]["and_matcher"]["predicate"]]
    paths = [[part["key"] for part in one["input"]["typed_config"]["path"]] for one in asked]
    payload, header = token_metadata.PAYLOAD_KEY, token_metadata.HEADER_KEY
    assert paths == [
        [header, "typ"], [header, "alg"], [payload, "scope"], [payload, "scope"], [payload, "acr"],
        [payload, "req_wl"],
    ]  # fmt: skip
    wanted = asked[-1]["custom_match"]["typed_config"]["value"]["string_match"]
    assert wanted == {"exact": A}


def test_a_token_to_be_used_once_is_refused_unless_another_filter_sees_to_it() -> None:
    rule = "{from: [a], methods: [GET], paths: [/v1/x], token: {once: true}}"
    assert "/v1/x" not in str(_compiled(rule))
    assert "/v1/x" in str(_compiled(rule, single_use_enforced=True))


def test_what_is_not_enforced_as_written_is_reported(bank: AccessPolicy) -> None:
    assert envoy.unexpressed(bank) == ()
    once = parse_policy(parse_document((HEAD + ONCE).encode(), name="access.yaml"))
    found = envoy.unexpressed(once)
    assert [(part.rule, part.where) for part in found] == [("ledger.accepts[0]", "access.yaml:9")]
    assert envoy.unexpressed(once, "a") == ()


def test_each_service_gets_a_filter_for_http_and_one_for_each_port(bank: AccessPolicy) -> None:
    assert set(envoy.compile_filters(bank)) == {
        "gateway.http.json", "statements.http.json", "payments.http.json", "ledger.http.json",
        "ledger-db.http.json", "ledger-db.tcp-5432.json",
    }  # fmt: skip
    assert set(envoy.compile_filters(bank, "ledger")) == {"ledger.http.json"}


def test_the_same_policy_compiles_to_the_same_bytes(bank: AccessPolicy) -> None:
    one, other = (
        envoy.compile_http_filter(bank, "ledger").SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert one == other


def test_a_service_that_is_not_there_has_no_filter(bank: AccessPolicy) -> None:
    with pytest.raises(InputError, match="no service is called 'lodger'"):
        envoy.compile_http_filter(bank, "lodger")
