"""What single detectors say, call by call."""

from dataclasses import replace

import numpy as np
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


def test_hours_of_a_young_release_add_up_in_part() -> None:
    chance = np.random.default_rng(4)
    calls = [
        call(START + hour * HOUR, "s0", "s1",
             request_bytes=int(chance.lognormal(6.0 + (hour > 100), 0.3)))
        for hour in range(112)
    ]  # fmt: skip
    encoded = encode(table(calls))
    placed = Ground(SMALL).place(encoded, encoded.time)
    sums = []
    for ripeness in (1.0, 0.5, 0.0):
        volume = Volume(SMALL)
        young = np.full(len(placed), ripeness, np.float32)
        volume.observe(replace(placed, ripeness=young), NOBODY)
        sums.append(float(volume.state["sums"].max()))
    assert sums[0] > sums[1] > sums[2] == 0.0


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
