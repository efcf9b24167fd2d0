"""What every detector does, whatever it looks at."""

import numpy as np
import pytest
from tests.behaviour_world import SMALL, START, call, table, traffic

from meshwarden.behaviour.detectors import ALL, Detector
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.findings import meaning_of
from meshwarden.behaviour.ground import Ground, Placed


def _placed(ground: Ground, hours: int = 30) -> Placed:
    calls = traffic(hours, seed=3, rate=10.0)
    calls.append(call(calls[-1].time, "s5", "s0", status=403, session="a", shape="x"))
    encoded = encode(table(calls))
    return ground.place(encoded, np.maximum.accumulate(encoded.time))


@pytest.fixture(params=ALL, ids=lambda kind: kind.name)
def detector(request: pytest.FixtureRequest) -> Detector:
    made: Detector = request.param(SMALL)
    return made


MUTED = np.zeros(1 << SMALL.node_bits, np.bool_)


def test_surprise_is_finite_and_not_negative(detector: Detector) -> None:
    surprise = detector.observe(_placed(Ground(SMALL)), MUTED)
    assert surprise.shape[0] == len(detector.channels)
    assert np.isfinite(surprise).all()
    assert (surprise >= 0).all()


def test_every_channel_has_family_subject_and_meaning(detector: Detector) -> None:
    assert len(detector.channels) == len(detector.families) == len(detector.subjects)
    assert all(meaning_of(channel).words for channel in detector.channels)


def test_score_says_what_observe_would_and_learns_nothing(detector: Detector) -> None:
    placed = _placed(Ground(SMALL))
    before = detector.save()
    scored = detector.score(placed, MUTED)
    assert all(np.array_equal(before[n], detector.state[n]) for n in before)
    assert np.array_equal(scored, detector.observe(placed, MUTED))


def test_saved_and_loaded_it_goes_on_the_same(detector: Detector) -> None:
    ground = Ground(SMALL)
    detector.observe(_placed(ground), MUTED)
    twin = type(detector)(SMALL).load(detector.save())  # type: ignore[call-arg]
    later = _placed(ground)
    assert np.array_equal(detector.observe(later, MUTED), twin.observe(later, MUTED))


def test_cut_in_two_gives_the_same(detector: Detector) -> None:
    whole = detector.observe(_placed(Ground(SMALL)), MUTED)
    calls = table(traffic(30, seed=3, rate=10.0))
    ground, twin, parts = Ground(SMALL), type(detector)(SMALL), []  # type: ignore[call-arg]
    for start in range(0, calls.num_rows, 501):
        encoded = encode(calls[start : start + 501])
        parts.append(twin.observe(ground.place(encoded, encoded.time), MUTED))
    assert np.array_equal(np.hstack(parts), whole[:, : calls.num_rows])


def test_merge_brings_only_what_is_unknown(detector: Detector) -> None:
    detector.observe(_placed(Ground(SMALL)), MUTED)
    before = detector.save()
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    detector.merge(detector, dict.fromkeys(("nodes", "edges", "links"), nothing))
    assert all(np.array_equal(before[n], detector.state[n]) for n in before)


def test_no_calls_are_no_surprise(detector: Detector) -> None:
    encoded = encode(table([]))
    surprise = detector.observe(Ground(SMALL).place(encoded, encoded.time), MUTED)
    assert surprise.shape == (len(detector.channels), 0)


def test_explanation_is_loudest_first(detector: Detector) -> None:
    column = np.arange(len(detector.channels), dtype=np.float32)
    said = [nats for _, nats in detector.explain(column)]
    assert said == sorted(said, reverse=True)
    assert START > 0
