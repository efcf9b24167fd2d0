"""One call per request, out of what both ends tell: pure, bounded, without a clock.

The callee's report is the record. The caller's stands where no report of the callee has the same
key (see `Told`) until the watermark, the time up to which every log has been read, has passed the
call's end by the grace. What arrives after that is counted as late and not recorded again: a call
is in the record once, whatever the order in which the logs were read.

State is bounded: beyond the limits the oldest goes first and is counted in `evicted`. An evicted
caller's report is recorded, not lost; an evicted key of a callee's can only cost a duplicate.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from meshwarden.adapters.envoy.accesslog_batch import Line, Told
from meshwarden.adapters.envoy.accesslog_call import Side
from meshwarden.kernel import Call

SECOND = 1_000_000_000
_SWEEP_NS: Final = SECOND  # looking through all keys for old ones costs more than keeping them


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeLimits:
    """How long and how much is held.

    Attributes:
        grace_ns: how long a caller's report waits for the callee's, in event time. Both ends write
            within milliseconds; shorter than the stall of a busy machine, and callers' reports
            stand where the callee's would have come.
        keep_ns: how long a key is remembered after the call's end.
        max_held: callers' reports that wait.
        max_keys: remembered keys, of each kind.
    """

    grace_ns: int = 3 * SECOND
    keep_ns: int = 30 * SECOND
    max_held: int = 50_000
    max_keys: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeState:
    """What the merge remembers, each in the order of arrival.

    Attributes:
        held: callers' reports that wait for the callee's, by key; never a row of a batch, which is
            gone when the next is read.
        settled: ends of calls that the callee reported and the caller not yet, by key.
        released: ends of calls that were recorded from the caller's report, by key.
        late: callees' reports that came after their caller's had been recorded.
        evicted: what went early because a limit was reached.
        swept: the watermark up to which keys were forgotten.
    """

    held: Mapping[str, Told] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)
    released: Mapping[str, int] = field(default_factory=dict)
    late: int = 0
    evicted: int = 0
    swept: int = 0


def step(
    state: MergeState,
    reports: Iterable[Told],
    watermark: int,
    limits: MergeLimits,
    *,
    settle: bool = False,
) -> tuple[MergeState, list[int | Line | Call]]:
    """Return the state after `reports`, and where the calls are that are now certain.

    Args:
        state: what earlier steps left.
        reports: in the order in which they were read.
        watermark: nanoseconds since the epoch; every report of a call that ended before it has
            been handed in. It may fall: a clock that is set back delays releases, no more.
        limits: bounds.
        settle: callers' reports wait no longer. Their keys are remembered all the same, so that a
            callee's report that does come is late, not a second record.
    """
    work = _Work(state)
    for report in reports:
        work.take(report)
    work.release(watermark, limits, settle=settle)
    work.expire(watermark, limits)
    return work.state(), work.calls


class _Work:
    """Copies of the state's maps, for the length of one step."""

    def __init__(self, state: MergeState) -> None:
        self.held = dict(state.held)
        self.settled = dict(state.settled)
        self.released = dict(state.released)
        self.late = state.late
        self.evicted = state.evicted
        self.swept = state.swept
        self.calls: list[int | Line | Call] = []

    def state(self) -> MergeState:
        return MergeState(
            held=self.held,
            settled=self.settled,
            released=self.released,
            late=self.late,
            evicted=self.evicted,
            swept=self.swept,
        )

    def take(self, report: Told) -> None:
        if report.key is None:
            self.calls.append(report.what)
        elif report.side is Side.CALLEE:
            self._callee(report, report.key)
        else:
            self._caller(report, report.key)

    def _callee(self, report: Told, key: str) -> None:
        if self.released.pop(key, None) is not None:
            self.late += 1
            return
        self.calls.append(report.what)
        if self.held.pop(key, None) is None:
            self.settled[key] = report.end

    def _caller(self, report: Told, key: str) -> None:
        if self.settled.pop(key, None) is not None:
            return
        earlier = self.held.pop(key, None)
        if earlier is not None:  # two connections, one after the other, between the same ports
            self.calls.append(earlier.what)
        self.held[key] = report

    def release(self, watermark: int, limits: MergeLimits, *, settle: bool) -> None:
        due = [
            key
            for key, held in self.held.items()
            if settle or held.end + limits.grace_ns <= watermark
        ]
        excess = len(self.held) - len(due) - limits.max_held
        if excess > 0:
            chosen = set(due)
            waiting = [key for key in self.held if key not in chosen]
            due += waiting[:excess]
            self.evicted += excess
        for key in due:
            report = self.held.pop(key)
            self.calls.append(report.what)
            self.released[key] = report.end

    def expire(self, watermark: int, limits: MergeLimits) -> None:
        if not 0 <= watermark - self.swept < _SWEEP_NS:
            self.swept = watermark
            for keys in (self.settled, self.released):
                for key in [k for k, end in keys.items() if end + limits.keep_ns <= watermark]:
                    del keys[key]
        for keys in (self.settled, self.released):
            excess = len(keys) - limits.max_keys
            if excess > 0:
                self.evicted += excess
                for key in list(islice(keys, excess)):
                    del keys[key]
