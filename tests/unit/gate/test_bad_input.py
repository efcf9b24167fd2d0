"""What cannot be judged is named with file and line, the rest is judged, and the exit code is 2."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshwarden.cli import run

GOOD = """apiVersion: v1
kind: ConfigMap
metadata: {name: good}
data: {mode: production}
"""
BAD_POD = """apiVersion: v1
kind: Pod
metadata: {name: bad}
spec:
  containers:
    - name: shell
      securityContext: {privileged: true}
"""
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.timeout(600)


def gate(capsys: Capture, *arguments: object) -> tuple[int, dict[str, Any]]:
    code = run(["gate", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
CASES = [
    ("broken", b"apiVersion: v1\nkind: [Pod\n", "gate.yaml", 3),
    ("tab", b"apiVersion: v1\nkind: Pod\nmetadata:\n\tname: x\n", "gate.yaml", 4),
    ("double", b"apiVersion: v1\nkind: Pod\nkind: Pod\n", "gate.duplicate_key", 3),
    ("laughs", b"apiVersion: v1\nkind: ConfigMap\n" + LAUGHS.encode(), "gate.too_many", 8),
    ("self", b"apiVersion: v1\nkind: Pod\nspec: &a [*a]\n", "gate.alias", 3),
    ("template", b"kind: Pod\nmetadata:\n  name: {{ .Values.name }}\n", "gate.template", 3),
    ("quoted", b'apiVersion: v1\nkind: Pod\nspec:\n  x: "{{ .Values.x }}"\n', "gate.template", 4),
    ("action", b"{{- if .Values.on }}\nkind: Pod\n{{- end }}\n", "gate.template", 1),
    ("binary", b"kind: Pod\n\x00\x01\x02", "gate.binary", 2),
    ("latin1", b"kind: Pod\nname: \xe9\n", "gate.encoding", 2),
    ("deep", b"x: " + b"[" * 200_000, "gate.too_deep", 1),
    ("deep-block", b"\n".join(b" " * n + b"a:" for n in range(150)), "gate.too_deep", 101),
    ("huge", b"# " + b"x" * (50 << 20), "gate.too_large", 1),
    (
        "slip",
        b"apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: x}\n",
        "gate.unknown_kind",
        1,
    ),
    ("nameless", b"apiVersion: v1\nmetadata: {name: x}\n", "gate.no_kind", 1),
]


@pytest.mark.parametrize(("name", "raw", "code", "line"), CASES, ids=[case[0] for case in CASES])
def test_it_is_named_and_the_rest_is_judged(
    tmp_path: Path, capsys: Capture, name: str, raw: bytes, code: str, line: int
) -> None:
    (tmp_path / f"{name}.yaml").write_bytes(raw)
    (tmp_path / "pod.yaml").write_text(BAD_POD)
    exit_code, report = gate(capsys, tmp_path)
    assert exit_code == 2
    [problem] = report["problems"]
    assert (problem["code"], problem["where"]) == (code, f"{tmp_path}/{name}.yaml:{line}")
    assert "workload/privileged" in {one["rule"] for one in report["findings"]}


def test_the_other_documents_of_a_broken_file_are_judged(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "all.yaml").write_text(f"{GOOD}---\nkind: [\n---\n{BAD_POD}")
    code, report = gate(capsys, tmp_path)
    assert (code, report["judged"]) == (2, 2)
    [found] = [one for one in report["findings"] if one["rule"] == "workload/privileged"]
    assert found["line"] == 14


def test_json_that_is_broken_doubled_or_deep_is_refused(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.json").write_text('{"kind": "Pod",\n "spec": }')
    (tmp_path / "b.json").write_text('{"kind": "Pod", "kind": "Job"}')
    (tmp_path / "c.json").write_text("[" * 100_000)
    code, report = gate(capsys, tmp_path)
    assert code == 2
    assert [(Path(one["source"]).name, one["line"]) for one in report["problems"]] == [
        ("a.json", 2), ("b.json", 1), ("c.json", 1),
    ]  # fmt: skip


def test_line_ends_of_windows_are_fine(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "pod.yaml").write_bytes(BAD_POD.replace("\n", "\r\n").encode())
    code, report = gate(capsys, tmp_path)
    assert code == 1
    [found] = [one for one in report["findings"] if one["rule"] == "workload/privileged"]
    assert (found["line"], found["column"]) == (7, 25)


def test_links_in_a_circle_end(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / "up").symlink_to(tmp_path)
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    code, report = gate(capsys, tmp_path)
    assert (code, report["judged"]) == (2, 1)
    assert [one["code"] for one in report["problems"]] == ["gate.unreadable"]


def test_what_is_no_manifest_is_ignored_in_a_folder_but_not_when_named(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "values.yaml").write_text("replicas: 2\n")
    (tmp_path / "notes.txt").write_bytes(b"\x00")
    assert gate(capsys, tmp_path)[0] == 0
    code, report = gate(capsys, tmp_path / "values.yaml")
    assert (code, report["problems"][0]["code"]) == (2, "gate.no_manifest")


def test_nothing_to_judge_is_no_pass(tmp_path: Path, capsys: Capture) -> None:
    code, report = gate(capsys, tmp_path)
    assert (code, report["judged"]) == (2, 0)
    assert gate(capsys, tmp_path / "missing.yaml")[0] == 2


def rule(tmp_path: Path, name: str, body: str) -> None:
    (tmp_path / "rules").mkdir(exist_ok=True)
    head = f"# METADATA\n# title: {name}\n# custom:\n#   severity: low\n#   kinds: ['*']\n"
    (tmp_path / "rules" / f"{name}.rego").write_text(f"{head}package user.{name}\n\n{body}\n")


def test_a_rule_that_never_ends_is_given_up_and_the_others_are_asked(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "pod.yaml").write_text(BAD_POD)
    loop = 'deny contains "x" if { n := numbers.range(1, 100000000); count(n) == 3 }'
    rule(tmp_path, "endless", loop)
    rule(tmp_path, "fine", 'deny contains "seen" if input.kind == "Pod"')
    options = ["--rules", tmp_path / "rules", "--time-limit", "5"]
    code, report = gate(capsys, tmp_path / "pod.yaml", *options)
    assert code == 2
    assert ["user/endless" in one["message"] for one in report["problems"]] == [True]
    assert {"user/fine", "workload/privileged"} <= {one["rule"] for one in report["findings"]}


@pytest.mark.parametrize(
    "body",
    ["deny := 1 if input.kind\n\ndeny := 2 if input.kind", 'deny contains {"message": "no msg"}'],
)
def test_a_rule_that_fails_is_named(tmp_path: Path, capsys: Capture, body: str) -> None:
    (tmp_path / "pod.yaml").write_text(BAD_POD)
    rule(tmp_path, "failing", body)
    code, report = gate(capsys, tmp_path / "pod.yaml", "--rules", tmp_path / "rules")
    assert code == 2
    assert "user/failing" in report["problems"][0]["message"]
    assert "workload/privileged" in {one["rule"] for one in report["findings"]}


def test_rules_that_do_not_compile_are_one_line(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "pod.yaml").write_text(BAD_POD)
    rule(tmp_path, "broken", "deny contains if {")
    assert run(["gate", str(tmp_path / "pod.yaml"), "--rules", str(tmp_path / "rules")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the rules do not compile: " in error
    assert "broken.rego:" in error


def test_standard_input_is_judged() -> None:
    command = [str(Path(sys.executable).with_name("meshwarden")), "gate", "-"]
    done = subprocess.run(command, input=BAD_POD.encode(), capture_output=True, check=False)
    assert done.returncode == 1
    assert b"-:7:25: critical: container shell is privileged" in done.stdout


def test_a_folder_that_cannot_be_rendered_is_skipped_and_said_so(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("name: x\n")
    (tmp_path / "good.yaml").write_text(GOOD)
    monkeypatch.setenv("PATH", os.devnull)
    code, report = gate(capsys, tmp_path)
    assert code == 0
    assert any("has to be rendered" in one for one in report["skipped"])
    assert gate(capsys, tmp_path / "chart")[0] == 2
