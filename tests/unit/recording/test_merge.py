"""One call per request, whatever the order in which both ends' reports come."""

from collections.abc import Sequence
from itertools import permutations

import pytest
from tests.unit.recording.access_log_lines import GATEWAY, LEDGER, SECOND, inbound, outbound, told

from meshwarden.adapters.envoy.accesslog_batch import Line, Told
from meshwarden.control.recording import MergeLimits, MergeState, step
from meshwarden.kernel import Call

LIMITS = MergeLimits(grace_ns=3 * SECOND, keep_ns=30 * SECOND, max_held=3, max_keys=3)
T = 1_000 * SECOND


def _callee(call: str, start: int = T) -> Told:
    return told(inbound(start, call), owner=LEDGER)


def _caller(call: str, start: int = T, *, reached: bool = True) -> Told:
    return told(outbound(start, call, reached=reached), owner=GATEWAY)


def _reporters(found: Sequence[int | Line | Call]) -> list[str]:
    return [what.reporter for what in found if isinstance(what, Call)]


@pytest.mark.parametrize("order", list(permutations([_callee("a"), _caller("a")])))
def test_the_callees_report_wins_in_either_order(order: tuple[Told, ...]) -> None:
    state, calls = step(MergeState(), order, T, LIMITS)
    assert _reporters(calls) == ["destination"]
    assert not state.held
    assert not state.settled


def test_the_callers_report_stands_after_the_grace() -> None:
    state, calls = step(MergeState(), [_caller("a")], T + 2 * SECOND, LIMITS)
    assert calls == []
    state, calls = step(state, [], T + 4 * SECOND, LIMITS)
    assert _reporters(calls) == ["source"]
    assert step(state, [], T + 5 * SECOND, LIMITS)[1] == []


def test_a_call_that_never_reached_the_callee_does_not_wait() -> None:
    _, calls = step(MergeState(), [_caller("a", reached=False)], 0, LIMITS)
    assert _reporters(calls) == ["source"]


def test_a_callees_report_that_comes_too_late_is_counted_and_not_recorded_twice() -> None:
    state, _ = step(MergeState(), [_caller("a")], T + 9 * SECOND, LIMITS)
    state, calls = step(state, [_callee("a")], T + 9 * SECOND, LIMITS)
    assert calls == []
    assert state.late == 1


def test_a_watermark_that_falls_delays_and_loses_nothing() -> None:
    state, calls = step(MergeState(), [_caller("a")], T, LIMITS)
    state, calls = step(state, [], 0, LIMITS)
    assert calls == []
    assert _reporters(step(state, [], T + 9 * SECOND, LIMITS)[1]) == ["source"]


def test_what_is_held_is_bounded_and_the_oldest_is_recorded() -> None:
    reports = [_caller(str(i), T + i) for i in range(5)]
    state, calls = step(MergeState(), reports, 0, LIMITS)
    assert [call.time for call in calls if isinstance(call, Call)] == [T, T + 1]
    assert (len(state.held), state.evicted) == (3, 2)


def test_remembered_keys_are_bounded_in_number_and_in_time() -> None:
    state, _ = step(MergeState(), [_callee(str(i)) for i in range(5)], T, LIMITS)
    assert (len(state.settled), state.evicted) == (3, 2)
    state, _ = step(state, [], T + 31 * SECOND, LIMITS)
    assert not state.settled


def test_the_state_handed_in_is_not_changed() -> None:
    state = MergeState(held={"k": _caller("a")})
    step(state, [_caller("b")], T + 9 * SECOND, LIMITS)
    assert list(state.held) == ["k"]


def test_settling_records_what_waits_and_still_knows_it_when_the_callee_reports() -> None:
    state, calls = step(MergeState(), [_caller("a")], T, LIMITS, settle=True)
    assert _reporters(calls) == ["source"]
    state, calls = step(state, [_callee("a")], T, LIMITS)
    assert (calls, state.late) == ([], 1)
