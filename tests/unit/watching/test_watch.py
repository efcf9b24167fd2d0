"""The watch: scores what arrives, tells what is found, keeps what was learned."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pytest
from tests.unit.plane.bench import FakeClock

from meshwarden.adapters.storage.model_state import FileModelState
from meshwarden.adapters.yaml import load_document
from meshwarden.behaviour import Model, Verdict
from meshwarden.behaviour.archive import pack, unpack
from meshwarden.control.watching import BehaviourSettings, Inbox, Pace, Watch
from meshwarden.control.watching.opening import open_watch
from meshwarden.control.watching.watch import SAVE_S
from meshwarden.kernel import (
    Call,
    DependencyError,
    Finding,
    InputError,
    Severity,
    calls_to_table,
)
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.policy import parse_policy

NS = 1_000_000_000
POLICY = parse_policy(load_document(ACCESS_POLICY))


@dataclass(frozen=True)
class Scores:
    findings: tuple[Finding, ...]


@dataclass
class DenialDetector:
    """Finds every refused call; what it learned is how many calls it saw."""

    seen: int = 0
    times: list[int] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def observe(self, calls: pa.Table) -> Scores:
        self.seen += calls.num_rows
        self.times += calls["time"].cast(pa.int64()).to_pylist()
        denied = calls.filter(calls["denied"])["source"].to_pylist()
        return Scores(
            findings=tuple(
                Finding(time=1, code="behaviour.test", subject=source, severity=Severity.LOW,
                        sentence="was refused")
                for source in denied
            )
        )  # fmt: skip

    def judge(self, verdict: Verdict) -> None:
        self.verdicts = [*self.verdicts, verdict]

    def save(self) -> bytes:
        return json.dumps(self.seen).encode()


class Bench:
    """A watch over the detector above, what it told and what it kept."""

    def __init__(self, *, holds: bool = False, inbox: Inbox | None = None) -> None:
        self.detector = DenialDetector()
        self.told: list[Finding] = []
        self.kept: list[bytes] = []
        self.clock = FakeClock()
        self.watch = Watch(
            open_model=lambda: self.detector, tell=self.told.append, keep=self.keep, clock=self.clock,
            holds=holds, inbox=inbox,
        )  # fmt: skip

    def keep(self, state: bytes) -> None:
        self.kept.append(state)


def call(time: int, *, denied: bool = False, source: str = "external:a") -> Call:
    return Call(
        time=time, source=source, destination="unknown", protocol="tcp", reporter="source",
        denied=denied,
    )  # fmt: skip


async def test_what_is_found_is_told_with_the_time_of_the_clock() -> None:
    bench = Bench()
    running = asyncio.create_task(bench.watch.run())
    bench.watch.offer(calls_to_table([call(5), call(6, denied=True)]))
    while not bench.told:
        await asyncio.sleep(0)
    running.cancel()
    assert [finding.subject for finding in bench.told] == ["external:a"]
    assert bench.told[0].time == int(bench.clock.now().timestamp()) * NS
    assert bench.watch.figures().scored == 2
    assert bench.watch.figures().findings == 1


async def test_calls_of_several_logs_are_scored_in_the_order_of_their_times() -> None:
    bench = Bench()
    bench.watch.offer(calls_to_table([call(5), call(9), call(2)]))
    bench.watch.offer(calls_to_table([call(7)]))
    await bench.watch.close()
    assert bench.detector.times == [2, 5, 7, 9]


async def test_at_the_end_what_waits_is_scored_and_the_state_kept() -> None:
    bench = Bench()
    bench.watch.offer(calls_to_table([call(1), call(2), call(3)]))
    await bench.watch.close()
    assert bench.kept == [b"3"]
    bench.watch.offer(calls_to_table([call(4)]))
    assert bench.watch.figures().waiting == 0


async def test_the_state_is_kept_though_its_time_comes_within_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, loop = Bench(), asyncio.get_running_loop()
    real, late_s = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + late_s)

    class Slow(DenialDetector):
        def observe(self, calls: pa.Table) -> Scores:
            nonlocal late_s
            late_s += SAVE_S + 1
            return super().observe(calls)

    bench.detector = Slow()
    running = asyncio.create_task(bench.watch.run())
    for number in range(1, 4):
        bench.watch.offer(calls_to_table([call(number)]))
        while bench.watch.figures().scored < number:
            await asyncio.sleep(0)
    running.cancel()
    assert bench.kept


async def test_a_state_that_cannot_be_kept_is_a_finding_and_no_end() -> None:
    bench = Bench()

    def refuse(_: bytes) -> None:
        raise DependencyError("behaviour.state", "no space left")

    watch = Watch(
        open_model=lambda: bench.detector, tell=bench.told.append, keep=refuse, clock=bench.clock
    )
    watch.offer(calls_to_table([call(1)]))
    await watch.close()
    assert [finding.code for finding in bench.told] == ["behaviour.not_kept"]


async def test_calls_that_were_never_scored_are_a_finding() -> None:
    bench = Bench(inbox=Inbox(room=10, patience_s=0))
    bench.watch.offer(calls_to_table([call(n) for n in range(10)]))
    bench.watch.offer(calls_to_table([call(n) for n in range(1000)]))
    await bench.watch.close()
    [finding] = bench.told
    assert finding.code == "behaviour.sampled"
    figures = bench.watch.figures()
    assert figures.scored + figures.left_out == 1010
    assert f"{figures.left_out} were recorded" in finding.sentence


async def test_a_held_watch_scores_nothing_until_it_has_its_pace() -> None:
    bench = Bench(holds=True)
    bench.watch.offer(calls_to_table([call(100)]))
    await bench.watch._step(save=False)
    assert bench.detector.seen == 0
    bench.watch.set_pace(Pace(at=1000, shows=50_000, speed=60.0))
    bench.watch.offer(calls_to_table([call(999), call(1000), call(1010)]))
    await bench.watch.close()
    assert bench.detector.times == [50_000, 50_600]


def test_a_pace_that_stands_still_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        Pace(at=0, shows=0, speed=0.0)


def test_a_state_is_replaced_whole_and_survives_a_refusal(tmp_path: Path) -> None:
    state = FileModelState(tmp_path / "behaviour" / "model")
    assert state.load_state() is None
    state.store_state(b"one")
    state.store_state(b"two")
    assert state.load_state() == b"two"
    (tmp_path / "behaviour" / ".model.tmp").mkdir()
    with pytest.raises(DependencyError):
        state.store_state(b"three")
    assert state.load_state() == b"two"


def test_a_state_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    with pytest.raises(InputError):
        FileModelState(path).load_state()


async def test_a_model_that_was_kept_is_gone_on_with(tmp_path: Path) -> None:
    path, told = tmp_path / "model", list[Finding]()
    for expected in (1, 2):
        watch = open_watch(
            BehaviourSettings(), path, clock=FakeClock(), tell=told.append, policy=POLICY
        )
        assert watch
        watch.offer(calls_to_table([call(expected * NS)]))
        await watch.close()
        assert Model.load(path.read_bytes()).describe()["calls"] == expected
    assert told == []


async def test_a_model_that_was_kept_takes_the_budget_that_the_mesh_file_says_now(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model"
    for budget in (1.0, 20.0):
        settings = BehaviourSettings(false_alarms_per_day=budget)
        watch = open_watch(settings, path, clock=FakeClock(), tell=print, policy=POLICY)
        assert watch
        watch.offer(calls_to_table([call(NS)]))
        await watch.close()
        assert Model.load(path.read_bytes()).describe()["false_alarms_per_day"] == budget


def _of_no_use(setting: str, value: object) -> bytes:
    about, arrays = unpack(Model().save())
    return pack(about | {"settings": about["settings"] | {setting: value}}, arrays)


@pytest.mark.parametrize("kept", [
    b"no model", _of_no_use("node_bits", 99), _of_no_use("warm_up_minutes", "x"),
])  # fmt: skip
async def test_a_damaged_model_is_set_aside_and_said(kept: bytes, tmp_path: Path) -> None:
    path, told = tmp_path / "model", list[Finding]()
    path.write_bytes(kept)
    watch = open_watch(
        BehaviourSettings(), path, clock=FakeClock(), tell=told.append, policy=POLICY
    )
    assert watch
    watch.offer(calls_to_table([call(NS)]))
    await watch.close()
    assert [finding.code for finding in told] == ["behaviour.forgotten"]
    assert path.with_suffix(".damaged").read_bytes() == kept
    assert Model.load(path.read_bytes()).describe()["calls"] == 1


def test_nothing_is_watched_where_the_mesh_says_so(tmp_path: Path) -> None:
    off = BehaviourSettings(watch=False)
    assert open_watch(off, tmp_path / "model", clock=FakeClock(), tell=print, policy=POLICY) is None


VERDICT = Verdict(
    source="external:a", destination="unknown", until=1_800_000_000 * NS, reason="a migration",
    by="ana",
)  # fmt: skip


async def test_a_verdict_is_kept_at_once_and_nobody_gives_one_unseen() -> None:
    bench = Bench()
    await bench.watch.judge(VERDICT)
    assert await bench.watch.verdicts() == (VERDICT,)
    assert bench.kept
    [told] = bench.told
    assert (told.code, told.subject) == ("behaviour.verdict", "external:a")
    assert told.sentence == (
        "Alarms about external:a towards unknown are held back until 2027-01-15T08:00+00:00:"
        " ana says 'a migration'"
    )


async def test_a_verdict_is_told_with_the_time_when_it_was_said() -> None:
    bench = Bench()
    await bench.watch.judge(replace(VERDICT, said=1_799_000_000 * NS))
    [told] = bench.told
    assert told.time == 1_799_000_000 * NS
    assert told.sentence.endswith(": ana said at 2027-01-03T18:13+00:00 'a migration'")


async def test_a_verdict_that_cannot_be_kept_does_not_hold() -> None:
    bench = Bench()

    def full(_: bytes) -> None:
        raise DependencyError("behaviour.state", "no space left on device")

    bench.watch._keep = full
    with pytest.raises(DependencyError, match="no space"):
        await bench.watch.judge(VERDICT)
    assert await bench.watch.verdicts() == ()
    assert not bench.told
