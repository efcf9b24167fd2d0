"""learn, unused, diff, replay and explain as commands: output, exit codes, bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.unit.policy.traffic_cases import POLICY, call

from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.cli import run
from meshwarden.kernel import Call, Finding, Severity
from meshwarden.kernel.call import calls_to_table

Write = Callable[..., str]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write calls or a text to a file; return its path."""

    def _write(name: str, *content: Call | str) -> str:
        path = tmp_path / name
        if content and isinstance(content[0], str):
            path.write_text(content[0])
        else:
            rows = [each for each in content if isinstance(each, Call)]
            pq.write_table(calls_to_table(rows), path)
        return str(path)

    return _write


def test_diff_says_by_its_exit_code_whether_policies_differ(write: Write, capsys: Capture) -> None:
    old = write("old.yaml", POLICY)
    new = write("new.yaml", POLICY.replace("[/v1/accounts/7/limit]", '["/v1/accounts/{id}/limit"]'))
    assert run(["policy", "diff", old, old]) == 0
    assert "no difference" in capsys.readouterr().out
    assert run(["policy", "diff", old, new, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["lost"] == []
    (gained,) = found["gained"]
    assert (gained["from"], gained["to"], gained["besides"]) == (
        "payments",
        "ledger",
        ["/v1/accounts/7/limit"],
    )
    assert gained["example"]["path"] == "/v1/accounts/42/limit"
    assert run(["policy", "diff", old, new, "--markdown"]) == 1
    assert "**1 newly allowed, 0 no longer allowed**" in capsys.readouterr().out


def test_replay_exits_1_where_a_call_would_fare_otherwise(write: Write, capsys: Capture) -> None:
    policy = write("access.yaml", POLICY)
    calls = write("calls.parquet", call(), call("/new"))
    assert run(["policy", "replay", policy, "--calls", calls, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdicts"] == {"allowed": 1, "refused": 1}
    assert found["newly_refused"]["share"] == 0.5
    good = write("good.parquet", call())
    assert run(["policy", "replay", policy, "--calls", good]) == 0


def test_unused_proposes_and_exits_1(write: Write, capsys: Capture) -> None:
    calls = write("calls.parquet", call(), call("/v1/accounts/{}", "POST", at=-40))
    policy = write("access.yaml", POLICY)
    assert run(["policy", "unused", policy, "--calls", calls, "--days", "30", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["calls"] == 1  # the older one does not count
    assert found["rules"][0]["proposal"].startswith("- from: [gateway]")


def test_a_second_run_of_learn_adds_and_keeps_what_was_written(
    write: Write, capsys: Capture
) -> None:
    policy = write("access.yaml", POLICY.replace("services:", "services: # all of them"))
    calls = write("calls.parquet", call("/new"), call(), call(tcp=6379))
    before = Path(policy).read_text().splitlines()
    assert run(["policy", "learn", calls, "-o", policy]) == 0
    after = Path(policy).read_text()
    assert [line for line in after.splitlines() if line in before] == before
    assert run(["policy", "learn", calls, "-o", policy]) == 0
    assert Path(policy).read_text() == after
    assert run(["policy", "replay", policy, "--calls", calls]) == 0
    capsys.readouterr()


def test_learning_into_text_that_cannot_be_added_to_changes_nothing(
    write: Write, capsys: Capture
) -> None:
    braces = POLICY.replace(
        "services:\n", "services:\n  odd: {identity: spiffe://bank.example/odd,\n    tier: 1}\n"
    )
    policy = write("access.yaml", braces)
    calls = write("calls.parquet", call(destination="odd"))
    assert run(["policy", "learn", calls, "-o", policy]) == 2
    assert "cannot be added" in capsys.readouterr().err
    assert Path(policy).read_text() == braces


def test_calls_that_findings_name_teach_nothing(
    write: Write, tmp_path: Path, capsys: Capture
) -> None:
    calls = write("calls.parquet", call("/stolen", transaction="txn-1"), call("/good"))
    finding = Finding(
        time=1, code="x", subject="s", severity=Severity.HIGH, sentence="", evidence=("txn-1",)
    )
    FileFindingStore(tmp_path / "findings.jsonl").store_finding(finding)
    options = ["--findings", str(tmp_path / "findings.jsonl")]
    assert run(["policy", "learn", calls, *options]) == 0
    said = capsys.readouterr()
    assert "/stolen" not in said.out
    assert "1 calls of transactions that findings name" in said.err


def test_holdout_says_which_share_of_later_calls_would_pass(write: Write, capsys: Capture) -> None:
    days = [call(at=day) for day in range(10)]
    calls = write("calls.parquet", *days, call("/late", at=9))
    assert run(["policy", "learn", calls, "--holdout", "0.3", "--json"]) == 0
    held = json.loads(capsys.readouterr().out)["holdout"]
    assert held == {"calls": 4, "allowed_share": 0.75}


def test_explain_reads_a_line_of_a_log(write: Write, capsys: Capture) -> None:
    policy = write("access.yaml", POLICY)
    line = {
        "kind": "inbound", "start": "1700000000000000000", "method": "GET", "path": "/v1/x",
        "status": 403, "details": "rbac_access_denied_matched_policy[none]", "hs": 5,
        "peer": "spiffe://bank.example/payments",
    }  # fmt: skip
    text = json.dumps(line)
    assert run(["policy", "explain", policy, "--line", text, "--to", "ledger", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["denied_by"] == "the policy, at the callee's sidecar: no rule allows it"
    assert answer["fix"] == "add /v1/x to ledger.accepts[0].paths"
    assert run(["policy", "explain", policy, "--line", text]) == 2
    assert "add --to" in capsys.readouterr().err


def test_explain_finds_the_calls_of_a_transaction(write: Write, capsys: Capture) -> None:
    policy = write("access.yaml", POLICY)
    refused = call("/v2/{}", denied=True, rule="default-deny", transaction="t-7")
    calls = write("calls.parquet", call(transaction="t-7"), refused, call())
    asked = ["policy", "explain", policy, "--calls", calls, "--request"]
    assert run([*asked, "t-7", "--json"]) == 1
    answers = json.loads(capsys.readouterr().out)["calls"]
    assert [answer["allowed"] for answer in answers] == [False, True]
    assert run([*asked, "t-8"]) == 2


def test_a_patch_applies_and_allows(write: Write, capsys: Capture) -> None:
    policy = write("access.yaml", POLICY)
    asked = [
        "--from",
        "gateway",
        "--to",
        "ledger",
        "--method",
        "PUT",
        "--path",
        "/v1/accounts/7/limit",
    ]
    assert run(["policy", "explain", policy, *asked, "--patch"]) == 1
    patch = capsys.readouterr().out.splitlines()
    removed = [line[1:] for line in patch if line.startswith("-") and not line.startswith("---")]
    added = [line[1:] for line in patch if line.startswith("+") and not line.startswith("+++")]
    assert removed == ["      - {from: [payments], methods: [PUT], paths: [/v1/accounts/7/limit]}"]
    assert added == [
        "      - {from: [payments, gateway], methods: [PUT], paths: [/v1/accounts/7/limit]}"
    ]
    write("access.yaml", POLICY.replace(removed[0], added[0]))
    assert run(["policy", "decide", policy, *asked]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", "{policy}", "{policy}.none"],
        ["diff", "{policy}", "{policy}", "--json", "--markdown"],
        ["replay", "{policy}", "--calls", "{broken}"],
        ["replay", "{policy}", "--calls", "{policy}"],
        ["replay", "{policy}", "--calls", "{calls}", "--confirm", "-1"],
        ["replay", "{policy}", "--calls", "{none}"],
        ["unused", "{policy}", "--calls", "{none}"],
        ["learn", "{none}"],
        ["learn"],
        ["learn", "{broken}"],
        ["learn", "{calls}", "--holdout", "1"],
        ["learn", "{calls}", "--findings", "{policy}.none"],
        ["learn", "{calls}", "-o", "/proc/none/x.yaml"],
        ["unused", "{policy}", "--calls", "{calls}", "--days", "0"],
        ["explain", "{policy}"],
        ["explain", "{policy}", "--request", "x"],
        ["explain", "{policy}", "--line", "[" * 5000],
        ["explain", "{policy}", "--line", '{"source": 1, "destination": 2, "protocol": 3}'],
        ["explain", "{policy}", "--line", '{"kind": "inbound"}', "--to", "ledger"],
    ],
)
def test_bad_input_is_one_clear_line(write: Write, capsys: Capture, arguments: list[str]) -> None:
    names = {
        "policy": write("access.yaml", POLICY),
        "calls": write("calls.parquet", call()),
        "none": write("none.parquet"),
        "broken": write("broken.parquet", "PAR1 not really"),
    }
    filled = list(arguments)
    for name, path in names.items():
        filled = [part.replace(f"{{{name}}}", path) for part in filled]
    assert run(["policy", *filled]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
