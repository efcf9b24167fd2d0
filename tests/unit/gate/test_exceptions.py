"""Waivers, annotations, baselines, severities, and what the rest of the input says."""

import json
from pathlib import Path
from typing import Any

import pytest

from meshwarden.cli import run

POD = """apiVersion: v1
kind: Pod
metadata:
  name: shell
  namespace: core
spec:
  containers:
    - name: shell
      securityContext: {privileged: true}
"""
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pod.yaml").write_text(POD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gate(capsys: Capture, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code = run(["gate", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)["findings"]


def of(findings: list[dict[str, Any]], rule: str) -> list[dict[str, Any]]:
    return [one for one in findings if one["rule"] == rule]


def config(here: Path, text: str) -> None:
    (here / "meshwarden-gate.yaml").write_text(f"apiVersion: meshwarden.dev/v1\n{text}")


WAIVER = "waivers: [{{rule: privileged, object: Pod/core/shell, owner: sre, reason: {reason}, expires: '{day}'}}]\n"


def test_a_waiver_holds_until_its_day(here: Path, capsys: Capture) -> None:
    config(here, WAIVER.format(reason="node debugging", day="2999-01-01"))
    code, found = gate(capsys, "pod.yaml")
    assert code == 0
    [waived] = of(found, "workload/privileged")
    assert waived["suppressed"] == "waived"
    assert waived["reason"] == "node debugging (sre, until 2999-01-01)"


def test_a_waiver_that_has_ended_fails(here: Path, capsys: Capture) -> None:
    config(here, WAIVER.format(reason="node debugging", day="2020-01-01"))
    code, found = gate(capsys, "pod.yaml", "--fail-on", "critical")
    assert code == 1
    [ended] = of(found, "gate/expired-waiver")
    assert (ended["source"], ended["line"]) == ("meshwarden-gate.yaml", 2)
    assert of(found, "workload/privileged")[0]["suppressed"] is None


@pytest.mark.parametrize(
    "text",
    [
        WAIVER.format(reason="ok", day="2999-01-01"),
        WAIVER.format(reason="node debugging", day="soon"),
        "waivers: [{rule: privileged, owner: sre, reason: node debugging, expires: '2999-01-01'}]\n",
        "waivers: [{rule: privilegde, object: '*', owner: sre, reason: long enough, expires: '2999-01-01'}]\n",
        "allowed_hosts: ['*']\n",
        "allowed_hosts: ['https://a.example']\n",
        "allowed_host: [a.example]\n",
        "rules: {severity: {privileged: harmless}}\n",
        "admission: {default: perhaps}\n",
    ],
)
def test_a_configuration_that_is_wrong_is_one_line(here: Path, capsys: Capture, text: str) -> None:
    config(here, text)
    assert run(["gate", "pod.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("reason", "code"), [("node debugging", 0), ("ok", 1), ("", 1)])
def test_an_annotation_waives_with_a_reason(
    here: Path, capsys: Capture, reason: str, code: int
) -> None:
    note = f"  annotations: {{waive.meshwarden.dev/privileged: '{reason}'}}\n"
    (here / "pod.yaml").write_text(POD.replace("spec:\n", f"{note}spec:\n", 1))
    assert gate(capsys, "pod.yaml")[0] == code
    config(here, "inline_waivers: false\n")
    assert gate(capsys, "pod.yaml")[0] == 1


def test_a_baseline_survives_moved_lines_and_names_new_findings(
    here: Path, capsys: Capture
) -> None:
    assert gate(capsys, "pod.yaml", "--write-baseline", "old.json")[0] == 0
    other = "    - {name: other, image: busybox:1.0}\n"
    moved = "# moved\n\n" + POD.replace("  containers:\n", f"  containers:\n{other}")
    (here / "moved.yaml").write_text(moved)
    code, found = gate(capsys, "moved.yaml", "--baseline", "old.json")
    assert code == 0
    assert of(found, "workload/privileged")[0]["suppressed"] == "in the baseline"
    assert {one["message"].split()[1] for one in found if one["suppressed"] is None} <= {
        "other", "other:",
    }  # fmt: skip


def test_severities_can_be_set_and_rules_disabled(here: Path, capsys: Capture) -> None:
    config(here, "rules: {severity: {privileged: low}, disabled: [workload/root]}\n")
    code, found = gate(capsys, "pod.yaml")
    assert code == 0
    assert of(found, "workload/privileged")[0]["severity"] == "low"
    assert of(found, "workload/root") == []


def test_an_access_policy_is_judged(here: Path, capsys: Capture) -> None:
    text = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  a: {identity: spiffe://bank.example/a}
  b:
    identity: spiffe://bank.example/b
    accepts: [{from: [a]}]
"""
    (here / "access.yaml").write_text(text)
    code, found = gate(capsys, "access.yaml", "--fail-on", "medium")
    assert code == 1
    assert {one["rule"] for one in found} == {
        "access-policy/policy.any_method", "access-policy/policy.any_path",
    }  # fmt: skip
    (here / "access.yaml").write_text(f"# first\n---\n{text}  c: {{identiti: x}}\n")
    [error] = gate(capsys, "access.yaml")[1]
    assert (error["rule"], error["line"]) == ("access-policy/document.unknown_key", 10)


def test_items_of_a_list_are_judged_where_they_stand(here: Path, capsys: Capture) -> None:
    body = "".join(f"    {line}\n" for line in POD.splitlines())
    text = f"apiVersion: v1\nkind: List\nitems:\n  -\n{body}"
    (here / "list.yaml").write_text(text)
    [found] = of(gate(capsys, "list.yaml")[1], "workload/privileged")
    assert (found["line"], found["object"]) == (13, "Pod/core/shell")


def test_resources_of_a_plan_are_judged_where_they_stand(here: Path, capsys: Capture) -> None:
    volumes = [
        {"address": f"aws_ebs_volume.v{n}", "type": "aws_ebs_volume", "mode": "managed",
         "change": {"actions": ["create"], "after": {"encrypted": n != 1}}}
        for n in range(3)
    ]  # fmt: skip
    plan = {"format_version": "1.2", "terraform_version": "1.9.0", "resource_changes": volumes}
    (here / "plan.json").write_text(json.dumps(plan, indent=1))
    code, [found] = gate(capsys, "plan.json")
    assert code == 1
    lines = (here / "plan.json").read_text().splitlines()
    assert found["object"] == "aws_ebs_volume/aws_ebs_volume.v1"
    assert lines[found["line"] - 1].strip() == '"encrypted": false'
