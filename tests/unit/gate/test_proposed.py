"""A changed access policy in the gate: new reach, lost reach, recorded calls it would refuse."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.unit.policy.traffic_cases import POLICY, call

from meshwarden.cli import run
from meshwarden.kernel import Call
from meshwarden.kernel.call import calls_to_table

WIDER = POLICY.replace("[/v1/accounts/7/limit]", '["/v1/accounts/{id}/limit"]')
NARROWER = POLICY.replace("from: [gateway, payments]", "from: [payments]")
OPENED = POLICY.replace("cards.example, port: 443}", "cards.example, port: 443}\n      - {host: evil.example, port: 443}")  # fmt: skip
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "old.yaml").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gate(here: Path, capsys: Capture, policy: str, *options: str) -> tuple[int, dict[str, Any]]:
    (here / "access.yaml").write_text(policy)
    code = run(["gate", "access.yaml", *options, "--json"])
    return code, json.loads(capsys.readouterr().out)


def of(report: dict[str, Any], rule: str) -> list[dict[str, Any]]:
    return [one for one in report["findings"] if one["rule"] == f"access-policy/{rule}"]


def record(here: Path, *calls: Call) -> str:
    pq.write_table(calls_to_table(calls), here / "calls.parquet")
    return "calls.parquet"


def test_the_same_policy_changes_nothing(here: Path, capsys: Capture) -> None:
    code, report = gate(
        here, capsys, POLICY, "--against", "old.yaml", "--calls", record(here, call())
    )
    assert code == 0
    assert not [one for one in report["findings"] if one["severity"] == "high"]
    assert of(report, "new-reach") == of(report, "lost-reach") == of(report, "refuses-calls") == []


def test_new_reach_is_named_with_an_example_at_its_rule(here: Path, capsys: Capture) -> None:
    code, report = gate(here, capsys, WIDER, "--against", "old.yaml")
    [found] = of(report, "new-reach")
    assert found["message"] == (
        "newly allowed: payments -> ledger: PUT /v1/accounts/{id}/limit, besides"
        " /v1/accounts/7/limit; for example PUT /v1/accounts/42/limit"
    )
    line = 1 + WIDER.splitlines().index(next(x for x in WIDER.splitlines() if "limit" in x))
    assert (found["severity"], found["line"]) == ("medium", line)
    assert found["fix"] == "if it is not meant, narrow ledger.accepts[1]"
    assert code == 0  # a reviewer decides; --fail-on medium would not let it pass
    assert gate(here, capsys, WIDER, "--against", "old.yaml", "--fail-on", "medium")[0] == 1


def test_a_new_outside_host_is_of_weight(here: Path, capsys: Capture) -> None:
    code, report = gate(here, capsys, OPENED, "--against", "old.yaml")
    [found] = of(report, "new-reach")
    assert (code, found["severity"]) == (1, "high")
    assert "payments -> evil.example:443" in found["message"]


def test_calls_that_would_be_refused_fail_with_their_fix(here: Path, capsys: Capture) -> None:
    calls = record(here, call(), call(), call(source="payments"))
    code, report = gate(here, capsys, NARROWER, "--against", "old.yaml", "--calls", calls)
    assert code == 1
    [found] = of(report, "refuses-calls")
    assert found["message"].startswith(
        "2 recorded calls (66.67%) would be refused: gateway -> ledger GET /v1/accounts/{}, from "
    )
    assert found["fix"] == "add 'gateway' to ledger.accepts[0].from"
    assert found["severity"] == "high"
    assert {one["severity"] for one in of(report, "lost-reach")} == {"low"}


def test_without_the_old_policy_the_record_says_what_was_allowed(
    here: Path, capsys: Capture
) -> None:
    calls = record(here, call("/new"), call(denied=True))
    _, report = gate(here, capsys, POLICY, "--calls", calls)
    assert len(of(report, "refuses-calls")) == 1
    assert [one["severity"] for one in of(report, "allows-calls")] == ["medium"]


def test_markdown_shows_reach_calls_and_fix(here: Path, capsys: Capture) -> None:
    (here / "access.yaml").write_text(NARROWER)
    calls = record(here, call())
    options = ["--against", "old.yaml", "--calls", calls, "--format", "markdown"]
    assert run(["gate", "access.yaml", *options]) == 1
    text = capsys.readouterr().out
    assert "| high | `access.yaml:" in text
    assert "1 recorded calls (100.00%) would be refused: gateway -&#62; ledger" in text
    assert "| add 'gateway' to ledger.accepts&#91;0&#93;.from |" in text


def test_an_old_finding_of_a_policy_is_in_the_baseline(here: Path, capsys: Capture) -> None:
    options = ["--against", "old.yaml"]
    assert gate(here, capsys, OPENED, *options, "--write-baseline", "base.json")[0] == 0
    code, report = gate(here, capsys, OPENED, *options, "--baseline", "base.json")
    assert code == 0
    assert [one["suppressed"] for one in of(report, "new-reach")] == ["in the baseline"]


@pytest.mark.parametrize("count", [0, 2])
def test_one_policy_is_compared(here: Path, capsys: Capture, count: int) -> None:
    paths: list[str] = []
    (here / "pod.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    for number in range(count):
        (here / f"access-{number}.yaml").write_text(POLICY)
        paths.append(f"access-{number}.yaml")
    assert run(["gate", "pod.yaml", *paths, "--against", "old.yaml"]) == 2
    error = capsys.readouterr().err
    assert f"{count} access policies" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("missing", ["--against", "--calls"])
def test_what_cannot_be_read_is_no_pass(here: Path, capsys: Capture, missing: str) -> None:
    (here / "access.yaml").write_text(POLICY)
    assert run(["gate", "access.yaml", missing, "missing.file"]) == 2
    assert "missing.file" in capsys.readouterr().err


def test_a_policy_with_an_error_is_critical_and_not_compared(here: Path, capsys: Capture) -> None:
    broken = POLICY.replace("from: [payments], tcp", "from: [nobody], tcp")
    code, report = gate(here, capsys, broken, "--against", "old.yaml")
    assert code == 1
    assert [one["severity"] for one in report["findings"]] == ["critical"]
