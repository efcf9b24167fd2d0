"""The recorder's engine on real files: rejects, rotation, floods, a disk that refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.recording.access_log_lines import (
    GATEWAY,
    LEDGER,
    SteppingClock,
    inbound,
    outbound,
)

from meshwarden.adapters.envoy.accesslog_call import Naming
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.control.recording import Limits, LogSource
from meshwarden.control.recording.engine import Engine
from meshwarden.kernel import Finding


class Bench:
    """One engine, two logs, and what it reported."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.clock = SteppingClock()
        self.findings: list[Finding] = []
        self.observed: list[int] = []
        self.reopened: list[str] = []
        self.logs = {name: folder / f"{name}.log" for name in ("gateway", "ledger")}
        self.engine = self.start()

    def start(self) -> Engine:
        self.engine = Engine(
            folder=self.folder / "calls",
            clock=self.clock,
            naming=Naming(),
            limits=self.limits,
            report=self.findings.append,
            observe=lambda calls: self.observed.extend(calls["time"].cast("int64").to_pylist()),
        )
        for name, owner in (("gateway", GATEWAY), ("ledger", LEDGER)):
            path = self.logs[name]
            self.engine.follow(
                LogSource(name=name, owner=owner, path=path, reopen=self._reopener(name))
            )
        return self.engine

    def _reopener(self, name: str) -> Callable[[], None]:
        def reopen() -> None:
            self.reopened.append(name)
            self.logs[name].touch()

        return reopen

    def write(self, name: str, *lines: bytes) -> None:
        with self.logs[name].open("ab") as log:
            log.write(b"".join(lines))

    def flush(self) -> None:
        while self.engine.cycle(write=True, settle=True):
            pass

    def times(self) -> list[int]:
        table = load_calls([self.folder / "calls"]).table
        return sorted(table["time"].cast("int64").to_pylist())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, Limits(part_rows=10, log_bytes=2000, backlog_bytes=6000))


def _codes(bench: Bench) -> list[str]:
    return [finding.code for finding in bench.findings]


def test_a_malformed_line_is_counted_and_kept_aside_with_its_reason(bench: Bench) -> None:
    bench.write("ledger", inbound(1, "a"), b"junk\xff\n", inbound(2, "b"))
    bench.flush()
    (kept,) = (bench.folder / "calls/rejected.jsonl").read_text().splitlines()
    assert json.loads(kept) | {"reason": ""} == {
        "log": "ledger", "where": f"1:{len(inbound(1, 'a'))}", "reason": "", "line": "junk\\xff",
    }  # fmt: skip
    assert bench.times() == [1, 2]
    assert bench.engine.figures().totals.rejected_lines == 1
    assert _codes(bench) == ["record.rejected"]


def test_a_part_is_written_when_it_is_old_enough(bench: Bench) -> None:
    bench.write("ledger", inbound(1, "a"))
    bench.engine.cycle()
    assert bench.times() == []
    bench.clock.advance(1.5)
    bench.engine.cycle()
    bench.engine.close()  # a part is written while reading goes on
    assert bench.times() == [1]


def test_what_was_under_way_when_the_disk_refused_is_written_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    bench.write("ledger", inbound(1, "a"), b"junk\n")
    with monkeypatch.context() as full:
        full.setattr("meshwarden.adapters.storage.parts.pq.write_table", refuse)
        bench.engine.cycle()
        bench.clock.advance(1.5)
        bench.engine.cycle()  # begins a part
        bench.write("ledger", inbound(2, "b"))
        bench.engine.cycle(write=True)  # hears that it failed, and tries again
        assert bench.times() == []
    bench.flush()
    assert bench.times() == [1, 2]
    assert len((bench.folder / "calls/rejected.jsonl").read_text().splitlines()) == 1
    assert bench.engine.figures().trouble is None


def test_a_call_is_shown_as_soon_as_it_is_certain_and_once(bench: Bench) -> None:
    bench.write("ledger", inbound(1, "a"))
    bench.write("gateway", outbound(1, "a"), outbound(2, "b", to="external:card.example"))
    bench.engine.cycle()
    assert sorted(bench.observed) == [
        1,
        2,
    ]  # before anything is stored: nobody else reports the second
    assert bench.times() == []
    bench.flush()
    assert sorted(bench.observed) == bench.times() == [1, 2]


def test_a_large_log_is_rotated_and_its_old_generation_removed(bench: Bench) -> None:
    bench.write("ledger", *(inbound(i, str(i)) for i in range(1, 20)))
    bench.flush()
    assert bench.reopened == ["ledger"]
    assert bench.logs["ledger"].read_bytes() == b""
    bench.write("ledger", inbound(99, "z"))
    bench.flush()
    bench.flush()
    assert [path.name for path in bench.folder.glob("ledger.log*")] == ["ledger.log"]
    assert bench.times() == [*range(1, 20), 99]


def test_a_sidecar_that_does_not_reopen_is_asked_again(bench: Bench) -> None:
    bench.write("ledger", *(inbound(i, str(i)) for i in range(1, 20)))
    bench.flush()
    bench.logs["ledger"].unlink()
    bench.engine.cycle()
    assert bench.reopened == ["ledger"]
    bench.clock.advance(2)
    bench.engine.cycle()
    assert bench.reopened == ["ledger", "ledger"]


def test_a_flood_beyond_the_bound_is_given_up_counted_and_said(bench: Bench) -> None:
    for generation in range(1, 5):
        lines = b"".join(inbound(generation * 100 + i, "a") for i in range(12))
        (bench.folder / f"ledger.log.{generation}").write_bytes(lines)
    bench.write("ledger", inbound(999, "z"))
    size = (bench.folder / "ledger.log.1").stat().st_size
    bench.engine._rotate("ledger", 0)
    assert bench.engine.figures().totals.skipped_bytes == size
    bench.flush()
    assert 100 not in bench.times()
    assert 999 in bench.times()
    assert _codes(bench) == ["record.flood"]


def test_a_disk_that_refuses_stops_the_reading_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    bench.write("ledger", *(inbound(i, str(i)) for i in range(1, 30)))
    with monkeypatch.context() as full:
        full.setattr("meshwarden.adapters.storage.parts.pq.write_table", refuse)
        bench.flush()
        bench.flush()
        trouble = bench.engine.figures().trouble
    assert trouble is not None
    assert "No space left" in trouble
    assert _codes(bench) == ["record.trouble"]
    bench.flush()
    assert bench.times() == list(range(1, 30))
    assert bench.engine.figures().trouble is None


def test_a_new_engine_goes_on_with_what_the_old_one_held(bench: Bench) -> None:
    now = bench.clock.nanoseconds
    bench.write("gateway", outbound(now, "a"))
    bench.engine.cycle(write=True)
    assert bench.times() == []
    bench.engine.close()
    bench.start()
    bench.write("ledger", inbound(now, "a"))
    bench.flush()
    assert bench.times() == [now]
    assert bench.engine.figures().totals.calls == 1


def test_the_share_of_mutual_tls_counts_what_the_callees_let_in(bench: Bench) -> None:
    bench.write("ledger", inbound(1, "a"), inbound(2, "b"), inbound(3, "c", peer="nobody"))
    bench.flush()
    assert bench.engine.figures().mtls_share == pytest.approx(2 / 3)


def test_a_damaged_newest_part_is_set_aside_and_its_calls_recorded_again(bench: Bench) -> None:
    bench.write("ledger", inbound(1, "a"))
    bench.flush()
    bench.engine.close()
    (part,) = (bench.folder / "calls").glob("*.parquet")
    part.write_bytes(b"junk")
    bench.start()
    bench.flush()
    assert bench.times() == [1]
    assert _codes(bench) == ["record.damaged"]


@pytest.fixture
def unreadable(tmp_path: Path) -> Bench:
    """The ledger's log cannot be read: a folder stands in its place."""
    bench = Bench(tmp_path, Limits(unreadable_s=30.0))
    bench.logs["ledger"].mkdir()
    return bench


def test_callers_reports_wait_for_a_log_that_cannot_be_read(unreadable: Bench) -> None:
    bench, now = unreadable, unreadable.clock.nanoseconds
    bench.write("gateway", outbound(now, "a"))
    for _ in range(3):
        bench.engine.cycle()
        bench.clock.advance(9)
    assert bench.observed == []
    assert "ledger.log cannot be read" in (bench.engine.figures().trouble or "")
    bench.logs["ledger"].rmdir()
    bench.write("ledger", inbound(now, "a"))
    bench.flush()
    figures = bench.engine.figures()
    assert (bench.observed, figures.late, figures.trouble) == ([now], 0, None)
    assert load_calls([bench.folder / "calls"]).table["reporter"].to_pylist() == ["destination"]


def test_a_log_that_stays_unreadable_holds_nobody_up_for_ever(unreadable: Bench) -> None:
    bench, now = unreadable, unreadable.clock.nanoseconds
    bench.write("gateway", outbound(now, "a"))
    bench.engine.cycle()
    bench.clock.advance(29)
    bench.engine.cycle()
    assert bench.observed == []
    bench.clock.advance(1)
    bench.engine.cycle()
    assert bench.observed == [now]
    assert [(f.code, f.subject) for f in bench.findings] == [
        ("record.trouble", "ledger"), ("record.one_sided", "ledger"),
    ]  # fmt: skip


def test_what_is_held_for_an_unreadable_log_outlives_the_recorder(unreadable: Bench) -> None:
    bench, now = unreadable, unreadable.clock.nanoseconds
    bench.write("gateway", outbound(now, "a"))
    bench.flush()
    assert bench.observed == []
    bench.engine.close()
    bench.logs["ledger"].rmdir()
    bench.start()
    bench.write("ledger", inbound(now, "a"))
    bench.flush()
    assert bench.times() == [now]


def test_a_log_that_cannot_be_read_is_no_disk_that_refuses(unreadable: Bench) -> None:
    bench = unreadable
    bench.write("gateway", *(outbound(i, str(i), to="external:x.example") for i in range(1, 30)))
    bench.flush()
    assert bench.times() == list(range(1, 30))
    assert bench.engine.figures().trouble is not None


def test_the_log_that_is_furthest_behind_is_read_first(bench: Bench) -> None:
    bench.engine.close()
    bench.limits = Limits(chunk_bytes=2000, cycle_bytes=2000, part_rows=1000)
    bench.start()
    bench.write("gateway", *(outbound(10**9 + i, str(i)) for i in range(40)))
    bench.write("ledger", *(inbound(10**9 + i, str(i)) for i in range(40)))
    while bench.engine.cycle():
        assert bench.engine.figures().held < 25
    bench.flush()
    assert len(bench.times()) == 40


def test_floods_of_old_lines_keep_no_other_log_from_being_read(bench: Bench) -> None:
    bench.engine.close()
    bench.limits = Limits(chunk_bytes=2000, cycle_bytes=8000, part_rows=1000)
    bench.start()
    bench.logs["liar"] = bench.folder / "liar.log"
    bench.engine.follow(LogSource(name="liar", owner=GATEWAY, path=bench.logs["liar"]))
    now = bench.clock.nanoseconds
    bench.write("ledger", inbound(now, "a"))
    bench.flush()
    for flooding in ("gateway", "liar"):
        bench.write(flooding, *(inbound(i, f"{flooding}{i}") for i in range(1, 300)))
    bench.write("ledger", inbound(now + 1, "b"))
    for _ in range(3):  # each of three logs has its turn
        assert bench.engine.cycle()
    assert now + 1 in bench.observed
    bench.flush()
    assert len(bench.observed) == 2 + 2 * 299
