"""`behaviour watch` on what a mesh recorded: finds, keeps, resumes, exports."""

import gzip
import json
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from meshwarden.adapters.storage.parts import PartWriter
from meshwarden.behaviour import Model
from meshwarden.cli import run
from meshwarden.cli.behaviour_watch import WatchedLogs
from meshwarden.cli.sources import Reading
from meshwarden.lab.attacks.simulate import World, simulated_attack

Lines = pytest.CaptureFixture[str]
ISTIO = {
    "start_time": "2026-11-23T17:00:00.120Z", "method": "GET", "path": "/reviews/17", "response_code": 200,
    "response_flags": "-", "bytes_received": 0, "bytes_sent": 178, "duration": 4,
    "upstream_cluster": "outbound|9080||reviews.shop.svc.cluster.local",
}  # fmt: skip
CALLS = b"".join(json.dumps(ISTIO | {"request_id": n}).encode() + b"\n" for n in "ab")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose record holds three quiet days and a scan on the fourth."""
    state = tmp_path_factory.mktemp("state")
    calls, _ = simulated_attack("scan", 5, World(customers=200, history_days=3))
    writer = PartWriter(state / "calls", max_bytes=2**30)
    half = calls.num_rows // 2
    writer.store(calls.slice(0, half), b"")
    writer.store(calls.slice(half), b"")
    writer.close()
    return state


def test_a_scan_is_found_printed_kept_and_exported(
    recorded: Path, tmp_path: Path, capsys: Lines
) -> None:
    kept, ocsf = tmp_path / "kept", tmp_path / "ocsf.jsonl"
    options = ["--once", "--json", "--keep", str(kept), "--ocsf", str(ocsf)]
    assert run(["behaviour", "watch", "--state", str(recorded), *options]) == 1
    *lines, sums = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (sums["findings"], sums["source"]) == (len(lines), None)
    assert any(line["subject"].endswith("/notifications") for line in lines)
    events = [json.loads(line) for line in ocsf.read_text().splitlines()]
    assert [event["message"] for event in events] == [line["sentence"] for line in lines]
    learned = Model.load((kept / "model").read_bytes()).describe()["calls"]
    assert learned == sum(pq.read_metadata(p).num_rows for p in (recorded / "calls").glob("*.par*"))


def test_a_log_in_a_file_is_watched_as_well(recorded: Path, tmp_path: Path, capsys: Lines) -> None:
    file = tmp_path / "calls.parquet"
    table = pq.read_table(recorded / "calls")
    pq.write_table(table.take(pc.sort_indices(table["time"])), file)
    assert run(["behaviour", "watch", "--once", str(file)]) == 1
    assert "/notifications" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["-"], ["--once", "-"], ["-", "--once"]])
def test_standard_input_is_watched_to_its_end(arguments: list[str]) -> None:
    command = [sys.executable, "-c", "from meshwarden.cli import main; main()"]
    watched = subprocess.run(
        [*command, "behaviour", "watch", *arguments], input=CALLS, capture_output=True, check=True
    )
    assert b"2 calls, 0 findings" in watched.stderr


def test_what_was_set_aside_is_said_by_reason_at_the_end(tmp_path: Path, capsys: Lines) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(CALLS + b"{torn\n" * 3 + CALLS.replace(b"178", b'"many"'))
    assert run(["behaviour", "watch", "--once", str(log)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("read        7 records of 1 file")
    assert said[2:] == [
        "set aside   3 not JSON",
        "set aside   2 response_bytes is no whole number",
        "2 calls, 0 findings",
    ]
    assert run(["behaviour", "watch", "--once", str(log), "--json"]) == 0
    shown = capsys.readouterr()
    source = json.loads(shown.out)["source"]
    assert source["set_aside"] == {"not JSON": 3, "response_bytes is no whole number": 2}
    assert (source["read"], source["kept"], shown.err) == (7, 2, "")


@pytest.mark.timeout(60, method="thread")  # what waits is a thread, which no signal ends
def test_what_is_set_aside_while_it_follows_is_said_and_floods_nothing(
    tmp_path: Path, capsys: Lines
) -> None:
    log, stop = tmp_path / "access.log", threading.Event()
    log.write_bytes(CALLS + b"{torn\n")
    logs = WatchedLogs((str(log),), Reading(), stop)
    batches = logs.batches()
    assert next(batches).num_rows == 2
    for number in range(9):
        with log.open("ab") as file:
            file.write(CALLS.replace(b'"a"', b'"c%d"' % number) + b"{torn\n" * 100)
        next(batches)
    assert capsys.readouterr().err == "set aside   1 not JSON\n"
    stop.set()
    assert list(batches) == []
    assert logs.report.set_aside["not JSON"] == 901


@pytest.mark.parametrize("options", [["--once"], ["--once", "--json"]])
def test_a_log_that_ends_without_a_call_is_bad_input_as_everywhere(
    options: list[str], tmp_path: Path, capsys: Lines
) -> None:
    log = tmp_path / "access.log"
    for content, why in ((b"", "empty"), (b"{torn\n" * 9, "cannot be told")):
        log.write_bytes(content)
        assert run(["behaviour", "watch", str(log), *options]) == 2
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n")) == ("", 1)
        assert why in shown.err


def test_a_mesh_that_recorded_nothing_yet_is_no_bad_input(tmp_path: Path) -> None:
    PartWriter(tmp_path / "calls", max_bytes=2**20).close()
    assert run(["behaviour", "watch", "--state", str(tmp_path), "--once"]) == 0


def test_an_unknown_option_is_no_log(tmp_path: Path, capsys: Lines) -> None:
    assert run(["behaviour", "watch", str(tmp_path / "log"), "--ones"]) == 2
    assert "unknown option --ones" in capsys.readouterr().err


def test_lines_that_cannot_be_read_are_kept_however_few_they_are(tmp_path: Path) -> None:
    log, aside = tmp_path / "calls.csv", tmp_path / "aside.jsonl"
    log.write_text("time,source,destination,protocol\n1700000000000000000,a,b,tcp\nnever,a,b,tcp\n")
    watch = ["behaviour", "watch", "--once", str(log), "--rejected", str(aside)]
    assert run(watch) in {0, 1}
    [kept] = aside.read_text().splitlines()
    assert "time cannot be read" in kept


def test_the_budget_that_is_asked_for_goes_before_that_of_a_baseline_or_a_kept_model(
    recorded: Path, tmp_path: Path
) -> None:
    kept, base = tmp_path / "kept", tmp_path / "base"
    base.write_bytes(Model().save())
    watch = ["behaviour", "watch", "--state", str(recorded), "--once", "--keep", str(kept)]
    for budget in ("10", "20"):
        run([*watch, "--baseline", str(base), "--false-alarms-per-day", budget])
        model = Model.load((kept / "model").read_bytes())
        assert model.settings.false_alarms_per_day == float(budget)


CSV = b"time,source,destination,protocol\n1,a,b,tcp\n"


@pytest.mark.timeout(60, method="thread")  # what waits is a thread, which no signal ends
@pytest.mark.parametrize(("content", "kind"), [
    (CSV, "csv"), (gzip.compress(CSV, mtime=0), "gzip"), (gzip.compress(b"{}\n" * 99, mtime=0), "gzip"),
    (b"PAR1\0\0PAR1", "Parquet"),
])  # fmt: skip
def test_what_cannot_be_followed_is_refused_in_one_line(
    content: bytes, kind: str, tmp_path: Path, capsys: Lines
) -> None:
    log = tmp_path / "calls"
    log.write_bytes(content)
    assert run(["behaviour", "watch", str(log)]) == 2
    said = capsys.readouterr().err.strip()
    assert f"{log}: {kind} cannot be followed (--once reads it to its end)" in said
    assert "\n" not in said


@pytest.mark.timeout(60, method="thread")  # what waits is a thread, which no signal ends
def test_a_folder_of_recorded_calls_is_not_followed_as_a_log(recorded: Path, capsys: Lines) -> None:
    assert run(["behaviour", "watch", str(recorded / "calls")]) == 2
    assert "a folder of recorded calls cannot be followed" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "why"), [
    ([], "name logs"),
    (["x.log", "--state", "."], "name logs"),
    (["--state", ".", "--syslog", "udp://h"], "--keep DIR"),
    (["--state", ".", "--once", "--baseline", "missing"], "no such file"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(options: list[str], why: str, capsys: Lines) -> None:
    assert run(["behaviour", "watch", *options]) == 2
    assert why in capsys.readouterr().err


def test_a_baseline_that_is_none_is_refused_and_left_alone(tmp_path: Path, capsys: Lines) -> None:
    baseline = tmp_path / "baseline"
    baseline.write_bytes(b"no model")
    command = ["behaviour", "watch", "--state", str(tmp_path), "--once"]
    assert run([*command, "--baseline", str(baseline)]) == 2
    assert baseline.read_bytes() == b"no model"
    assert "baseline" in capsys.readouterr().err
