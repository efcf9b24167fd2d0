"""Whatever is interrupted, wherever: what was sent is in the record, once."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.recording.access_log_lines import (
    GATEWAY,
    LEDGER,
    SECOND,
    SteppingClock,
    inbound,
    outbound,
    told,
)

from meshwarden.adapters.envoy.accesslog_batch import Told
from meshwarden.adapters.envoy.accesslog_call import Naming, report_of
from meshwarden.adapters.envoy.accesslog_entry import parse_entry
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.storage.parts import PartWriter
from meshwarden.adapters.storage.tail import LogTail
from meshwarden.control.recording import Limits, LogSource, MergeLimits, MergeState, step
from meshwarden.control.recording.checkpoint import (
    Checkpoint,
    parse_checkpoint,
    render_checkpoint,
)
from meshwarden.control.recording.engine import Engine
from meshwarden.kernel import Call, InputError, calls_to_table

LIMITS = Limits(part_rows=4, log_bytes=1500, chunk_bytes=1200, cycle_bytes=2400)
POINTS = {
    "store": PartWriter,
    "compact": PartWriter,
    "_remove": PartWriter,
    "rotate": LogTail,
    "remove_before": LogTail,
}


class Killed(Exception):  # noqa: N818  # no error: the end of a process
    """The process died here."""


@contextlib.contextmanager
def killed_at(point: str, *, after: bool) -> Iterator[None]:
    """Die before, or right after, the next time that `point` is reached."""
    owner = POINTS[point]
    original = getattr(owner, point)

    def die(*arguments: Any, **named: Any) -> Any:
        if after:
            original(*arguments, **named)
        raise Killed

    with patch.object(owner, point, die):
        yield


class World:
    """Two sidecars that write, and recorders that are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SteppingClock()
        self.sent: list[int] = []
        self.engine = self._start()

    def _start(self) -> Engine:
        engine = Engine(
            folder=self.folder / "calls",
            clock=self.clock,
            naming=Naming(),
            limits=LIMITS,
            report=lambda _: None,
        )
        for name, owner in (("gateway", GATEWAY), ("ledger", LEDGER)):
            log = self.folder / name
            engine.follow(LogSource(name=name, owner=owner, path=log, reopen=log.touch))
        return engine

    def send(self, count: int, *, callee_alive: bool) -> None:
        for _ in range(count):
            self.clock.advance(0.01)
            time, call = self.clock.nanoseconds, str(len(self.sent))
            self.sent.append(time)
            if callee_alive:
                self._write("ledger", inbound(time, call))
            self._write("gateway", outbound(time, call))

    def _write(self, name: str, line: bytes) -> None:
        with (self.folder / name).open("ab") as log:
            log.write(line)

    def cycle(self) -> None:
        self.clock.advance(0.6)
        self.engine.cycle()

    def die(self, point: str, *, after: bool) -> None:
        with contextlib.suppress(Killed), killed_at(point, after=after):
            self.cycle()
            self.engine.cycle(write=True)
        self.engine.close()
        self.engine = self._start()

    def recorded(self) -> list[int]:
        self.clock.advance(60)
        while self.engine.cycle(write=True, settle=True):
            pass
        self.engine.close()
        table = load_calls([self.folder / "calls"]).table
        return sorted(table["time"].cast("int64").to_pylist())


actions = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("cycle"), st.just(0), st.just(False)),
        st.tuples(st.just("die"), st.sampled_from(sorted(POINTS)), st.booleans()),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(actions)
def test_recorded_equals_sent_wherever_the_recorder_is_killed(found: list[Any]) -> None:
    merged = patch("meshwarden.adapters.storage.parts._MERGED", 3)
    with tempfile.TemporaryDirectory() as folder, merged:
        world = World(Path(folder))
        for name, what, flag in found:
            if name == "send":
                world.send(what, callee_alive=flag)
            elif name == "cycle":
                world.cycle()
            else:
                world.die(what, after=flag)
        assert world.recorded() == world.sent


def _report(side: str, number: int) -> Told:
    start = number * SECOND
    if side == "callee":
        return told(inbound(start, str(number)), owner=LEDGER)
    return told(outbound(start, str(number)), owner=GATEWAY)


reports = st.lists(
    st.tuples(st.sampled_from(["callee", "caller"]), st.integers(1, 20)), unique=True
)


@settings(deadline=None)
@given(reports, st.lists(st.integers(1, 5)), st.booleans())
def test_any_order_and_any_cut_gives_one_call_each(
    order: list[tuple[str, int]], cuts: list[int], early: bool
) -> None:
    state, calls = MergeState(), list[Call]()
    left = [_report(*each) for each in order]
    for size in [*cuts, len(left)]:
        batch, left = left[:size], left[size:]
        state, found = step(state, batch, 15 * SECOND if early else 0, MergeLimits())
        calls += [what for what in found if isinstance(what, Call)]
    _, found = step(state, [], 60 * SECOND, MergeLimits())
    calls += [what for what in found if isinstance(what, Call)]
    assert sorted(call.time for call in calls) == sorted({n * SECOND for _, n in order})
    if not early:  # nothing was released before its time: every callee's report won
        by_callee = {call.time for call in calls if call.reporter == "destination"}
        assert by_callee == {n * SECOND for side, n in order if side == "callee"}


@settings(deadline=None)
@given(reports)
def test_a_checkpoint_reads_back_as_it_was(order: list[tuple[str, int]]) -> None:
    state, _ = step(MergeState(), [_report(*each) for each in order], 0, MergeLimits())
    checkpoint = Checkpoint(merge=state)
    assert parse_checkpoint(render_checkpoint(checkpoint)) == checkpoint


@given(st.binary(max_size=300))
def test_no_octets_make_the_parser_fail_otherwise_than_by_refusing(line: bytes) -> None:
    with contextlib.suppress(InputError):
        parse_entry(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
FIELDS = [
    "start",
    "ms",
    "ns",
    "flags",
    "remote",
    "local",
    "rx",
    "tx",
    "details",
    "status",
    "grpc",
    "method",
    "path",
    "type",
    "call",
    "peer",
    "cert",
    "hs",
    "fail",
    "authority",
    "to",
    "why",
    "ufail",
    "uremote",
    "ulocal",
    "rule",
    "end",
    "port",
]
KINDS = ["inbound", "outbound", "edge", "inbound_tcp", "outbound_tcp", "listener"]


@settings(deadline=None)
@given(
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(FIELDS), json_values | st.just("1700000000000000000")),
    st.booleans(),
)
def test_any_entry_becomes_a_call_that_can_be_stored_or_is_refused(
    kind: str, fields: dict[str, Any], timed: bool
) -> None:
    if timed:
        fields["start"] = "1700000000000000000"
    try:
        entry = parse_entry(json.dumps({"kind": kind} | fields).encode())
    except InputError:
        return
    report = report_of(entry, owner=LEDGER, naming=Naming())
    if report is not None:
        calls_to_table([report.call])
