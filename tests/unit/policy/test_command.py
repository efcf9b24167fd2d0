import json
from pathlib import Path

import pytest

from meshwarden.cli import run

POLICY = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {identity: spiffe://bank.example/gateway}
  ledger:
    identity: spiffe://bank.example/ledger
    accepts:
      - {from: [gateway], methods: [GET], paths: ["/v1/accounts/{id}"]}
      - {from: [gateway], tcp: 5432}
      - {from: [gateway], methods: [POST], paths: [/v1/entries], token: {scopes: [write], once: true}}
"""
GET = ["--from", "gateway", "--to", "ledger", "--method", "GET", "--path"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "access.yaml"
    path.write_text(POLICY)
    return str(path)


def test_decide_answers_by_exit_code_and_json(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "decide", file, *GET, "/v1/accounts/7", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"allowed": True, "rule": "ledger.accepts[0]", "fix": None}
    assert run(["policy", "decide", file, *GET, "/v1/accounts", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    fix = "add /v1/accounts to ledger.accepts[0].paths"
    assert answer == {"allowed": False, "rule": None, "fix": fix}


def test_decide_knows_identities_connections_and_claims(file: str) -> None:
    start = ["policy", "decide", file, "--from", "spiffe://bank.example/gateway", "--to", "ledger"]
    post = [*start, "--method", "POST", "--path", "/v1/entries"]
    assert run([*start, "--tcp", "5432"]) == 0
    assert run([*start, "--tcp", "5433"]) == 1
    assert run(post) == 1
    assert run([*post, "--claims", '{"scope": "write"}']) == 0


def test_explain_names_file_and_line(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "explain", file, *GET, "/v1/accounts/7"]) == 0
    assert f"ledger.accepts[0] at {file}:8" in capsys.readouterr().out
    assert run(["policy", "explain", file, *GET, "/v2", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["explanation"][0].startswith("refused: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "nobody", "--to", "ledger", "--tcp", "1"], "no service is called 'nobody'"),
        (["--from", "gateway", "--to", "ledger"], "--method and --path, or with --tcp alone"),
        ([*GET, "/", "--tcp", "1"], "--method and --path, or with --tcp alone"),
        (["--from", "gateway", "--to", "ledger", "--tcp", "0"], "no port"),
        ([*GET, "/", "--claims", "[1]"], "not a JSON object"),
        ([*GET, "/", "--claims", "{"], "not JSON"),
        (["--from", "gateway"], "--to"),
    ],
)
def test_a_wrong_question_is_one_clear_line(
    file: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "decide", file, *arguments]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert said in error


def test_check_counts_and_warns(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "check", file]) == 0
    assert "2 services, 3 rules; warnings: 0" in capsys.readouterr().out
    wide = (
        Path(file).read_text().replace('methods: [GET], paths: ["/v1/accounts/{id}"]', "paths: [/]")
    )
    Path(file).write_text(wide)
    assert run(["policy", "check", file, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [warning["code"] for warning in report["warnings"]] == ["policy.any_method"]


def test_a_broken_policy_is_one_line_with_its_place(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(file).write_text(POLICY.replace("methods: [GET]", "methds: [GET]"))
    assert run(["policy", "check", file]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"meshwarden: {file}:8: unknown key 'methds' under services.ledger.accepts[0]"
        " (did you mean 'methods'?)\n"
    )


def test_compile_writes_one_file_per_filter_and_says_what_is_lacking(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "filters"
    assert run(["policy", "compile", file, "--target", "envoy", "-o", str(output), "--json"]) == 0
    out, error = capsys.readouterr()
    names = ["gateway.http.json", "ledger.http.json", "ledger.tcp-5432.json"]
    assert sorted(path.name for path in output.iterdir()) == names
    assert json.loads(out)["files"] == [str(output / name) for name in names]
    assert f"{file}:10: envoy cannot express ledger.accepts[2]" in error
    compiled = json.loads((output / "ledger.http.json").read_text())
    assert compiled["typed_config"]["@type"].endswith("envoy.extensions.filters.http.rbac.v3.RBAC")


def test_strict_writes_nothing_where_the_target_lacks_something(file: str, tmp_path: Path) -> None:
    start = ["policy", "compile", file, "--target", "envoy", "-o", str(tmp_path / "filters")]
    assert run([*start, "--strict"]) == 1
    assert not (tmp_path / "filters").exists()
    assert run([*start, "--strict", "--service", "gateway"]) == 0


def test_a_place_that_cannot_be_written_leaves_nothing_half_written(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "filters"
    (output / "ledger.tcp-5432.json").mkdir(parents=True)
    assert run(["policy", "compile", file, "--target", "envoy", "-o", str(output)]) == 2
    assert "cannot write to" in capsys.readouterr().err
    assert [path.name for path in output.iterdir() if path.is_file()] == []
