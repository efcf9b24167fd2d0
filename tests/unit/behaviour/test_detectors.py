"""What single detectors say, call by call."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.behaviour_world import HOUR, SECOND, SMALL, START, call, table

from meshwarden.behaviour.detectors.contract import Detector
from meshwarden.behaviour.detectors.credentials import Credentials
from meshwarden.behaviour.detectors.scan import Scan
from meshwarden.behaviour.detectors.shape import Shape
from meshwarden.behaviour.detectors.topology import Topology
from meshwarden.behaviour.detectors.volume import Volume
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.ground import Ground
from meshwarden.kernel import Call

NOBODY = np.zeros(1 << SMALL.node_bits, np.bool_)


def _said(detector: Detector, channel: str, calls: list[Call]) -> NDArray[np.float32]:
    encoded = encode(table(calls))
    placed = Ground(SMALL).place(encoded, np.maximum.accumulate(encoded.time))
    said: NDArray[np.float32] = detector.observe(placed, NOBODY)[detector.channels.index(channel)]
    return said


def test_a_scan_is_told_at_first_contacts_that_fail_and_at_no_other_call() -> None:
    statuses = (403, 403, 403, 200, 403)
    calls = [
        call(START + k * SECOND, "s1", f"t{k}", status=status) for k, status in enumerate(statuses)
    ]
    calls.append(call(START + 9 * SECOND, "s1", "t0", status=403))
    said = _said(Scan(SMALL), "failing first contacts", calls)
    assert (said > 0).tolist() == [True, True, True, False, True, False]


def test_a_service_that_takes_up_sessions_of_others_all_day_surprises_less_than_who_never_did() -> (
    None
):
    def shared(k: int, *callers: str) -> list[Call]:
        return [
            call(START + k * SECOND, caller, "s9", session=f"session {k}") for caller in callers
        ]

    usual = [one for k in range(300) for one in shared(k, "first", "second")]
    usual += [one for k in range(300, 600) for one in shared(k, "never", "never")]
    said = _said(
        Credentials(SMALL),
        "session elsewhere",
        [*usual, *shared(601, "first", "second"), *shared(602, "first", "never")],
    )
    assert said[-3] < 1.0
    assert said[-1] > said[-3] + 2.0


def test_who_began_a_session_somewhere_carries_it_rightly_to_where_another_was_before() -> None:
    calls = [
        call(START, "gateway", "scoring", session="a"),
        call(START + SECOND, "scoring", "payments", session="a"),
        call(START + 2 * SECOND, "gateway", "payments", session="a"),
        call(START + 3 * SECOND, "thief", "payments", session="a"),
        call(START + 4 * SECOND, "thief", "payments", session="a"),
    ]
    said = _said(Credentials(SMALL), "session elsewhere", calls)
    assert (said > 0).tolist() == [False, False, False, True, True]


def test_a_run_of_failures_is_not_its_own_excuse() -> None:
    """The same run surprises as much where all that was seen is the run itself going on."""
    quiet = [call(START + k * SECOND, "s0", "s1") for k in range(40)]
    run = [call(START + HOUR // 2 + k * SECOND, "s2", "s3", status=503) for k in range(30)]
    said = _said(Shape(SMALL), "failures", quiet + run)
    assert np.all(np.diff(said[41:]) > 0)
    assert said[-1] > 5.0


def test_an_edge_that_is_called_for_weeks_is_never_born_again() -> None:
    calls = [call(START + hour * HOUR, "s2", f"s{hour % 3 + 3}") for hour in range(24)]
    calls += [call(START + (24 + hour) * HOUR, "s0", "s1") for hour in range(600)]
    said = _said(Topology(SMALL), "new edge", calls)
    assert said[24] > 0.0
    assert not said[40:].any()


def test_merged_edges_are_as_old_as_they_were() -> None:
    here, there = Ground(SMALL), Ground(SMALL)
    encoded = encode(table([call(START, "s0", "s1")]))
    there.place(encoded, encoded.time)
    numbers = {
        name: getattr(here, name).adopt(getattr(there, name))
        for name in ("nodes", "edges", "offers", "links")
    }
    here.join(there, numbers)
    later = encode(table([call(START + 9 * HOUR, "s0", "s1")]))
    assert here.place(later, later.time).age.tolist() == [9]


LEAK = "octets sent against received"


def _hours(sent: list[float], *, calls: int = 12, seed: int = 5) -> list[Call]:
    """Return calls of one edge: by hour, how many times its usual it sends; all follow the day."""
    chance = np.random.default_rng(seed)
    return [
        call(START + hour * HOUR + k * SECOND, "s0", "t0",
             request_bytes=int(more * chance.lognormal(6.0, 0.4)),
             response_bytes=int(chance.lognormal(7.0, 0.4)))
        for hour, more in enumerate(sent)
        for k in range(int(calls * chance.lognormal(0.0, 0.8)) + 1)
    ]  # fmt: skip


def test_a_leak_that_is_lost_among_many_calls_shows_in_what_is_sent_against_received() -> None:
    quiet = _hours([1.0] * 252, calls=60)
    leaking = _hours([1.0] * 240 + [1.6] * 12, calls=60)
    assert _said(Volume(SMALL), LEAK, quiet).max() < 6.0
    assert _said(Volume(SMALL), LEAK, leaking)[-1] > 12.0
    assert _said(Volume(SMALL), "octets sent for days", leaking)[-1] < 6.0


def test_a_leak_shows_in_the_hour_in_which_it_begins_and_its_end_adds_nothing() -> None:
    calls = _hours([1.0] * 240 + [1.6] * 2, calls=60)
    said = _said(Volume(SMALL), LEAK, calls)
    hour = np.array([(one.time - START) // HOUR for one in calls])
    first, second = said[hour == 240], said[hour == 241]
    assert first[:3].max() < 1.0  # nothing can be told from three calls
    assert first[-1] > 2.0
    assert second[0] == pytest.approx(first[-1], abs=0.3)


def test_who_receives_as_much_more_as_it_sends_leaks_nothing() -> None:
    calls = [
        replace(one, response_bytes=one.response_bytes * (3 if hour >= 240 else 1))
        for one in _hours([1.0] * 240 + [3.0] * 60)
        if one.response_bytes is not None
        for hour in [(one.time - START) // HOUR]
    ]
    assert _said(Volume(SMALL), LEAK, calls).max() < 6.0


def test_once_told_a_leak_that_is_over_is_not_told_again() -> None:
    def said(*, told: bool) -> NDArray[np.float32]:
        encoded = encode(table(calls))
        placed = Ground(SMALL).place(encoded, np.maximum.accumulate(encoded.time))
        alarmed = np.where(placed.hour > last, last, 0) if told else placed.tainted
        out = Volume(SMALL).observe(replace(placed, tainted=alarmed.astype(np.int32)), NOBODY)
        by_hour = out[Volume.channels.index(LEAK)]
        after: NDArray[np.float32] = by_hour[np.isin(placed.hour, (last + 3, last + 4))]
        return after

    calls = _hours([1.0] * 240 + [1.6] * 30 + [1.0] * 12)
    last = (START + 269 * HOUR) // HOUR
    assert said(told=False).min() > 3.0
    assert not said(told=True).any()


def test_hours_of_a_young_release_do_not_add_up() -> None:
    encoded = encode(table(_hours([1.0] * 240 + [1.6] * 60)))
    placed = Ground(SMALL).place(encoded, np.maximum.accumulate(encoded.time))
    young = replace(placed, ripeness=np.full_like(placed.ripeness, 0.9))
    out = Volume(SMALL).observe(young, NOBODY)
    assert not out[Volume.channels.index(LEAK)].any()
    assert not out[Volume.channels.index("octets sent for days")].any()


def test_one_edge_of_very_many_calls_does_not_blind_the_balance_of_others() -> None:
    busy = [
        call(START + hour * HOUR + k * SECOND, "s1", "t1", request_bytes=size, response_bytes=9)
        for hour in range(40) for k, size in enumerate([0] * 50 + [10**12 * (1 + hour % 2 * 99)])
    ]  # fmt: skip
    detector = Volume(SMALL)
    detector.state["spread"][0] = (20_000.0, 200.0, 40_000.0)
    _said(detector, LEAK, busy)
    spread = detector.state["spread"][0]
    assert 2.0 < spread["of_calls"] / spread["hours"] < 2.1


def test_a_share_that_is_usual_is_no_surprise_however_it_drifts() -> None:
    calls = [
        call(START + k * SECOND, caller, "s9", session=f"session {k}")
        for k in range(600) for caller in ("first", "second", *["second"] * 5)
    ]  # fmt: skip
    assert not _said(Credentials(SMALL), "session elsewhere", calls)[3000:].any()
