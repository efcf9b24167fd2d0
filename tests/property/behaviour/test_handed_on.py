"""A number that is handed on: whom it was of before leaves nothing, whatever the new one does first.

More identities than the tables hold: sixteen numbers, and a newcomer gets that of the least useful.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.behaviour_world import DAY, HOUR, SECOND, START, call, table

from meshwarden.behaviour import Model, Settings
from meshwarden.behaviour.detectors import ALL, Detector
from meshwarden.behaviour.detectors.topology import Topology
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.ground import Ground, Placed
from meshwarden.kernel import Call

TINY = Settings(node_bits=4, edge_bits=10, link_bits=10)
NOBODY = np.zeros(16, np.bool_)
LATER = START + 3 * DAY
PARTY = ("until", "level", "kinds", "said", "tail", "day")  # of groups: what outlasts the hour


def _busy(begin: int, days: int) -> Iterator[Call]:
    """Yield calls of fifteen who are there all day, and of one who is, and is called, by day."""
    for hour in range(24 * days):
        now = begin + hour * HOUR
        for k in range(15):
            yield call(now + k * SECOND, f"s{k}", f"s{(k + 1) % 15}", session=f"{k}")
        if hour % 24 >= 12:
            continue
        for k in range(40):
            more = {"status": 503 if k % 5 == 0 else 200, "session": f"{k % 15}"}
            yield call(now + (20 + k) * SECOND, "old", f"s{k % 15}", release="r1", **more)
            yield call(now + (80 + k) * SECOND, f"s{k % 15}", "old", request_bytes=9_000)


def _newcomer(*, called_first: bool) -> Iterator[Call]:
    """Yield two days of calls from and to somebody new."""
    for hour in range(48):
        now = LATER + hour * HOUR
        ends = [("new", f"s{hour % 5}"), (f"s{hour % 7}", "new")]
        for k, (a, b) in enumerate(ends[::-1] if called_first else ends):
            for i in range(1 + hour % 3 * 5):
                more = {"status": 404 if i % 4 == 3 else 200, "session": f"{hour % 4}"}
                yield call(now + (k * 100 + i) * SECOND, a, b, release="r2", **more)
        for k in range(15):
            yield call(now + (300 + k) * SECOND, f"s{k}", f"s{(k + 1) % 15}", session=f"{k}")


def _place(ground: Ground, calls: Iterator[Call]) -> Placed:
    encoded = encode(table(calls))
    return ground.place(encoded, np.maximum.accumulate(encoded.time))


def _clear(detector: Detector, number: int) -> None:
    """Forget all that is kept under the number of an identity."""
    for name, array in detector.state.items():
        if any(name.startswith(start) for start, of in detector.tables.items() if of == "nodes"):
            array[..., number] = np.zeros(1, array.dtype)[0]


@pytest.mark.parametrize("called_first", [True, False])
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_detector_says_the_same_as_if_the_number_had_been_nobodys(
    kind: type[Detector], *, called_first: bool
) -> None:
    ground, detector = Ground(TINY), kind(TINY)  # type: ignore[call-arg]
    before = _place(ground, _busy(START, 3))
    after = _place(ground, _newcomer(called_first=called_first))
    number = before.source[before.calls.release != 0][0]
    assert number == (after.destination if called_first else after.source)[0]
    detector.observe(before, NOBODY)
    twin = kind(TINY).load(detector.save())  # type: ignore[call-arg]
    _clear(twin, number)
    assert np.array_equal(detector.observe(after, NOBODY), twin.observe(after, NOBODY))


@pytest.mark.parametrize("called_first", [True, False])
def test_a_model_scores_the_same_as_if_the_number_had_been_nobodys(*, called_first: bool) -> None:
    """What alarmed under it, and with which release, is forgotten as well."""
    model = Model(TINY)
    model.observe(table(_busy(START, 3)))
    twin, ahead = (Model.load(model.save()) for _ in range(2))
    placed = _place(ahead.ground, _newcomer(called_first=called_first))
    number = (placed.destination if called_first else placed.source)[0]
    assert ahead.names.of(int(model.ground.nodes.entries["key"][number])).endswith("/old")
    for part in PARTY:
        for side in ("groups1", "groups2"):
            twin.alarms.state[side][part][number] = 0
    twin.releases[number] = np.zeros(1, twin.releases.dtype)[0]
    for detector in twin.detectors:
        _clear(detector, number)
    calls = table(_newcomer(called_first=called_first))
    said, same = model.observe(calls), twin.observe(calls)
    assert np.array_equal(said.score, same.score)
    assert np.array_equal(said.alert, same.alert)
    assert np.array_equal(model.releases, twin.releases)


def test_the_number_of_a_service_that_is_handed_on_brings_no_birth_along() -> None:
    """An edge that is new, with its first service, is one piece of news, not two."""
    few = Settings(node_bits=10, edge_bits=10, link_bits=6)
    ground, detector = Ground(few), Topology(few)
    nobody = np.zeros(1 << 10, np.bool_)
    usual = [call(START + h * HOUR + k * SECOND, f"s{k}", f"t{k}") for h in range(48) for k in
             range(6)]  # fmt: skip
    born = [call(START + 48 * HOUR + j * SECOND, f"s{j % 6}", f"t{j % 6}", route=f"/{j}") for j in
            range(90)]  # fmt: skip
    assert detector.observe(_place(ground, iter([*usual, *born])), nobody)[1].any()
    new = [call(START + 49 * HOUR + j * SECOND, f"s{j % 6}", f"u{j}") for j in range(40)]
    placed = _place(ground, iter(new))
    assert placed.fresh[:, 2].all()
    assert not detector.observe(placed, nobody)[1].any()
