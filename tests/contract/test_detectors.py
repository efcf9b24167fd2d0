"""What every detector does, whatever it looks at: on seven days and a bad one, where all speak."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from tests.behaviour_world import DAY, HOUR, SECOND, SMALL, START, call, table, traffic

from meshwarden.behaviour.detectors import ALL, Detector
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.findings import meaning_of
from meshwarden.behaviour.ground import Ground, Placed
from meshwarden.kernel import Call

LATER = START + 7 * DAY
MINUTE = 60 * SECOND
MUTED = np.zeros(1 << SMALL.node_bits, np.bool_)


def _bad_day() -> Iterator[Call]:
    """Yield what each channel exists for: a burst, a scan, a leak, failures, success, a beacon, thefts."""
    for i in range(600):
        yield call(LATER + i * SECOND // 10, "s0", "s1", request_bytes=9000)
    for i in range(40):
        yield call(LATER + HOUR + i * SECOND, "s5", f"t{i}", status=404)
        yield call(LATER + HOUR + i * SECOND, f"u{i}", "s6", response_bytes=10**7)
    for i in range(60):
        yield call(LATER + 2 * HOUR + i * SECOND, "s1", "s3", status=500, shape="odd", route="/x")
        yield call(LATER + i * 5 * MINUTE, "s4", "home")
    for hour in range(24):
        yield call(LATER + hour * HOUR, "s1", "s4", request_bytes=10**7, response_bytes=10**7)
    for i in range(12):
        yield call(LATER + 4 * HOUR + i * SECOND, "s6", "vault")
    for i in range(3):
        later = LATER + 3 * HOUR + i * 2 * MINUTE
        yield call(later, "thief", "s1", session="a", transaction="t-a")
        yield call(later, "s0", "s1", session="a", transaction="t-a", source_instance=f"x{i}")


@cache
def _calls() -> pa.Table:
    usual = [
        call(each.time, each.source, each.destination, request_bytes=each.request_bytes, shape="x",
             session="a" if each.source.endswith("s0") else None, source_instance="pod")
        for each in traffic(8 * 24, seed=3, rate=20.0)
        if each.time < LATER or not each.destination.endswith("s2")
    ]  # fmt: skip
    usual += [call(START + k * HOUR, "s6", "vault", status=401) for k in range(8 * 24)]
    first = call(LATER - MINUTE, "s0", "s1", session="a", transaction="t-a", source_instance="pod")
    return table(sorted([*usual, first, *_bad_day()], key=lambda each: each.time))


def _placed(ground: Ground, start: int = 0, stop: int | None = None) -> Placed:
    encoded = encode(_calls()[start:stop])
    return ground.place(encoded, encoded.time)


@pytest.fixture(params=ALL, ids=lambda kind: kind.name)
def detector(request: pytest.FixtureRequest) -> Detector:
    made: Detector = request.param(SMALL)
    return made


def test_surprise_is_finite_and_not_negative_and_every_channel_speaks(detector: Detector) -> None:
    surprise = detector.observe(_placed(Ground(SMALL)), MUTED)
    assert np.isfinite(surprise).all()
    assert (surprise >= 0).all()
    assert [c for c, said in zip(detector.channels, surprise, strict=True) if not said.any()] == []


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
    ground, middle = Ground(SMALL), _calls().num_rows * 3 // 4
    detector.observe(_placed(ground, 0, middle), MUTED)
    twin = type(detector)(SMALL).load(detector.save())  # type: ignore[call-arg]
    later = _placed(ground, middle)
    said = detector.observe(later, MUTED)
    assert said.any()
    assert np.array_equal(said, twin.observe(later, MUTED))


def test_cut_in_two_gives_the_same(detector: Detector) -> None:
    whole = detector.observe(_placed(Ground(SMALL)), MUTED)
    ground, twin = Ground(SMALL), type(detector)(SMALL)  # type: ignore[call-arg]
    parts = [
        twin.observe(_placed(ground, start, start + 501), MUTED)
        for start in range(0, _calls().num_rows, 501)
    ]
    assert np.array_equal(np.hstack(parts), whole)


def test_merge_brings_what_is_unknown_and_leaves_what_is_known(detector: Detector) -> None:
    """Into one that knows nothing, under other numbers."""
    ground = Ground(SMALL)
    detector.observe(_placed(ground), MUTED)
    before = detector.save()
    twin = type(detector)(SMALL)  # type: ignore[call-arg]
    tables = {"nodes": ground.nodes, "edges": ground.edges, "links": ground.links}
    there = {name: np.arange(len(each)) for name, each in tables.items()}
    offers = np.arange(len(ground.offers))
    numbers = {name: (old[::-1], old) for name, old in (there | {"offers": offers}).items()}
    twin.merge(detector, numbers)
    assert all(np.array_equal(before[n], detector.state[n]) for n in before)
    for name, array in twin.state.items():
        kept = next((t for start, t in twin.tables.items() if name.startswith(start)), None)
        if kept is not None:
            new, old = numbers[kept]
            assert np.array_equal(array[..., new], before[name][..., old])


def test_no_calls_are_no_surprise(detector: Detector) -> None:
    surprise = detector.observe(_placed(Ground(SMALL), 0, 0), MUTED)
    assert surprise.shape == (len(detector.channels), 0)


def test_explanation_is_loudest_first(detector: Detector) -> None:
    column = np.arange(len(detector.channels), dtype=np.float32)
    said = [nats for _, nats in detector.explain(column)]
    assert said == sorted(said, reverse=True)
    assert len(said) == len(detector.channels) - 1
