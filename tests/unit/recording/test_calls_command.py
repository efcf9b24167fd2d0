"""`meshwarden calls`: filters, sums, graphs, and what it says to wrong input."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from meshwarden.adapters.storage.parts import PartWriter
from meshwarden.cli import run
from meshwarden.kernel import Call, calls_to_table

A, B = "spiffe://bank.example/ns/core/sa/payments", "spiffe://bank.example/ns/core/sa/ledger"
SECOND = 1_000_000_000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    base = 1_700_000_000 * SECOND
    common: dict[str, Any] = {"destination": B, "protocol": "http", "reporter": "destination"}
    calls = [
        Call(time=base, source=A, mtls=True, method="GET", status=200, duration=2_000_000, **common),
        Call(time=base + 1, source=A, mtls=True, method="GET", status=200, duration=2_000_000,
             **common),
        Call(time=base + 2, source=A, mtls=True, denied=True, rule="default-deny", status=403, **common),
        Call(time=base + 3, source="unknown", mtls=False, denied=True, rule="tls:expired",
             claimed="<b>\x1b[31m", **common),
        Call(time=base + 4, source=A, destination="external:evil\"<x>.example", protocol="http",
             denied=True, rule="egress:not-listed", reporter="source"),
    ]  # fmt: skip
    writer = PartWriter(tmp_path / "calls", max_bytes=10**9)
    writer.store(calls_to_table(calls), b"")
    writer.close()
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(["calls", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_prints_the_newest_calls_oldest_first(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _json(capsys, "list", "--state", str(state), "--limit", "2")
    assert [call["rule"] for call in found["calls"]] == ["tls:expired", "egress:not-listed"]
    assert found["calls"][0]["time"] == "2023-11-14T22:13:20.000000003Z"
    assert found["matching"] == 5


@pytest.mark.parametrize(
    ("filters", "matching"),
    [
        (["--denied"], 3),
        (["--source", "payments"], 4),
        (["--source", "payments", "--destination", "ledger"], 3),
        (["--destination", B, "--denied"], 2),
        (["--since", "2023-11-14T22:13:20Z"], 5),
        (["--since", "1h"], 0),
        (["--source", "pay"], 0),
    ],
)
def test_filters(
    state: Path, filters: list[str], matching: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _json(capsys, "list", "--state", str(state), *filters)["matching"] == matching


def test_control_characters_from_strangers_do_not_reach_the_terminal(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["calls", "list", "--state", str(state)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[31m" in shown


@pytest.mark.parametrize("command", ["list", "summary", "graph", "graph --format dot"])
def test_what_strangers_wrote_never_makes_a_line_of_its_own(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = "x\n2026-01-01T00:00:00.000Z  a -> b  GET /forged  allowed\x85\u2028\t"
    call = Call(
        time=SECOND, source=A, destination=f"external:{forged}", protocol="http", method=forged,
        route=forged, denied=True, rule=forged, claimed=forged, reporter="source",
    )  # fmt: skip
    writer = PartWriter(tmp_path / "calls", max_bytes=10**9)
    writer.store(calls_to_table([call]), b"")
    writer.close()
    assert run(["calls", *command.split(), "--state", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.split("\n")
    assert not any(line.startswith("2026-") for line in shown)
    assert all(character.isprintable() for line in shown for character in line)


def test_summary(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, "summary", "--state", str(state))
    assert (found["calls"], found["refused"], found["mtls_share"]) == (5, 3, 1.0)
    assert found["refused_by"] == {"default-deny": 1, "tls:expired": 1, "egress:not-listed": 1}
    assert found["services"][B] == {"calls": 4, "refused": 2}
    assert found["duration_ns"]["p50"] == pytest.approx(2_000_000, rel=0.05)


def test_graph_as_json_and_text(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edges = _json(capsys, "graph", "--state", str(state))["edges"]
    assert [(edge["calls"], edge["refused"], edge["mtls_share"]) for edge in edges] == [
        (3, 1, 1.0), (1, 1, None), (1, 1, None),
    ]  # fmt: skip
    assert run(["calls", "graph", "--state", str(state)]) == 0
    assert "3 calls, 1 refused, mTLS" in capsys.readouterr().out


def test_graph_as_svg_is_well_formed_and_escapes_names(state: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.svg"
    command = ["calls", "graph", "--state", str(state), "--format", "svg", "-o", str(picture)]
    assert run(command) == 0
    text = "".join(ET.fromstring(picture.read_text()).itertext())  # noqa: S314  # our own
    assert 'evil"<x>.example' in text
    assert "3 calls, 1 refused, mTLS" in text


def test_graph_as_dot_escapes_names(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calls", "graph", "--state", str(state), "--format", "dot"]) == 0
    assert 'evil\\"<x>.example' in capsys.readouterr().out


def test_no_calls_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calls").mkdir()
    for command in (["list"], ["summary"], ["graph"], ["graph", "--format", "svg"]):
        assert run(["calls", *command, "--state", str(tmp_path)]) == 0
    assert "no calls" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "/nowhere.csv"],
        ["list", "--state", "/nowhere"],
        ["list", "a.csv", "--state", "x"],
        ["list", "--limit", "0"],
        ["list", "--since", "soon"],
        ["graph", "--format", "png"],
        ["graph", "--state", "STATE", "-o", "/nowhere/x.svg"],
        ["lisst"],
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    state: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["calls", *(str(state) if a == "STATE" else a for a in arguments)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
