"""What a cluster holds against what was compiled."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.evaluators.schemas import defaulted, load_schemas

from meshwarden.adapters.yaml import render_documents
from meshwarden.cli import run

POLICY = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {identity: spiffe://bank.example/ns/edge/sa/gateway}
  ledger:
    identity: spiffe://bank.example/ns/core/sa/ledger
    accepts:
      - {from: [gateway], methods: [GET], paths: ["/v1/accounts/{id}"]}
      - {from: [gateway], tcp: 5432}
"""
TARGETS = ["istio", "linkerd", "networkpolicy"]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "access.yaml"
    path.write_text(POLICY)
    return path


def _held(policy: Path, target: str) -> list[dict[str, Any]]:
    """Return what an API server would answer after the compiled objects were applied."""
    folder = policy.parent / target
    assert run(["policy", "compile", str(policy), "--target", target, "-o", str(folder)]) == 0
    objects = [
        one
        for path in sorted(folder.iterdir())
        for one in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader)
    ]
    for number, one in enumerate(objects):
        one["metadata"] |= {"uid": str(number), "resourceVersion": "7", "generation": 1}
        one["status"] = {"conditions": []}
        if one["kind"] == "NetworkPolicy":
            one["spec"] = {key: value for key, value in one["spec"].items() if value != []}
    return objects


def _drift(
    policy: Path, target: str, held: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[tuple[str, list[str]]], str]:
    file = policy.parent / "held.yaml"
    whole = {"apiVersion": "v1", "kind": "List", "items": held}
    file.write_text(render_documents([whole]))
    capsys.readouterr()
    command = ["policy", "drift", str(policy), "--target", target, "--against", str(file), "--json"]
    code = run(command)
    found = json.loads(capsys.readouterr().out)
    assert all(one["code"] == "policy.not_enforced" for one in found["findings"])
    return code, [(one["subject"], one["evidence"]) for one in found["findings"]], found["reach"]


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_applied_is_enforced_as_written(
    target: str, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = _held(policy, target)
    other = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": "core"},
    }
    elsewhere = copy.deepcopy(held[-1])
    elsewhere["metadata"]["namespace"] = "someone-elses"
    assert _drift(policy, target, [*held, other, elsewhere], capsys) == (0, [], "")


def _widen_istio(spec: dict[str, Any]) -> None:
    del spec["rules"][0]["to"][0]["operation"]["paths"]


def _widen_linkerd(spec: dict[str, Any]) -> None:
    spec["rules"][0]["matches"][0]["path"] = {"type": "PathPrefix", "value": "/"}


def _widen_network(spec: dict[str, Any]) -> None:
    spec["ingress"][0]["ports"] = [{"protocol": "TCP", "port": 22}]


@pytest.mark.parametrize(
    ("target", "kind", "widen", "path"),
    [
        ("istio", "AuthorizationPolicy", _widen_istio, "spec.rules[0].to[0].operation.paths"),
        ("linkerd", "HTTPRoute", _widen_linkerd, "spec.rules[0].matches[0].path.type"),
        ("networkpolicy", "NetworkPolicy", _widen_network, "spec.ingress[0].ports"),
    ],
)
def test_a_change_is_found_with_its_place_and_its_reach(
    target: str, kind: str, widen: Callable[[dict[str, Any]], None], path: str,
    policy: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    held = _held(policy, target)
    changed = next(
        one for one in held if one["kind"] == kind and one["metadata"]["name"].startswith("ledger")
    )
    widen(changed["spec"])
    code, found, reach = _drift(policy, target, held, capsys)
    ((subject, paths),) = found
    assert (code, subject.split("/")[0]) == (1, kind)
    assert path in paths
    assert "newly allowed: 1" in reach


@pytest.mark.parametrize("target", TARGETS)
def test_a_missing_object_is_found(
    target: str, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = _held(policy, target)
    gone = held.pop()
    code, found, _ = _drift(policy, target, held, capsys)
    assert code == 1
    parts = [gone["kind"], gone["metadata"].get("namespace"), gone["metadata"]["name"]]
    assert [subject for subject, _ in found] == ["/".join(part for part in parts if part)]


def test_a_policy_beside_ours_is_found_for_it_adds_up(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = _held(policy, "istio")
    beside = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "debug", "namespace": "core"},
        "spec": {"rules": [{"from": [{"source": {"principals": ["bank.example/ns/core/sa/x"]}}]}]},
    }
    everywhere = copy.deepcopy(beside)
    everywhere["metadata"] = {"name": "root", "namespace": "istio-system"}
    code, found, reach = _drift(policy, "istio", [*held, beside, everywhere], capsys)
    assert code == 1
    assert [subject for subject, _ in found] == [
        "AuthorizationPolicy/core/debug", "AuthorizationPolicy/istio-system/root",
    ]  # fmt: skip
    assert "x -> ledger: any method any path" in reach


@pytest.mark.parametrize("text", ["", "not a manifest", "kind: List\napiVersion: v1\nitems: [7]\n"])
def test_an_answer_that_cannot_be_read_is_no_agreement(
    text: str, policy: Path, tmp_path: Path
) -> None:
    file = tmp_path / "held.yaml"
    file.write_text(text)
    command = ["policy", "drift", str(policy), "--target", "istio", "--against", str(file)]
    assert run(command) == 2


@pytest.mark.parametrize("spec", [[], 7, {"rules": "x"}, {"rules": [None]}, None])
def test_a_held_object_of_any_shape_is_drift_and_no_crash(
    spec: object, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = _held(policy, "istio")
    ours = next(one for one in held if one["metadata"]["name"] == "ledger")
    ours["spec"] = spec
    assert _drift(policy, "istio", held, capsys)[0] == 1


@pytest.mark.parametrize(
    ("target", "definitions"), [("istio", "istio-crds.yaml"), ("linkerd", "linkerd-crds.yaml")]
)
def test_defaults_that_an_api_server_fills_in_are_no_drift(
    target: str, definitions: str, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas = load_schemas(definitions)
    held = _held(policy, target)
    for one in held:
        known = schemas.get((one["apiVersion"], one["kind"]))
        if known is not None:
            assert isinstance(known.schema, dict)
            one["spec"] = defaulted(known.schema, one["spec"])
    assert _drift(policy, target, held, capsys) == (0, [], "")
