"""Counts: who keeps its source's hours, and how much chance alone explains."""

import math

import numpy as np
from tests.behaviour_world import DAY, HOUR, SMALL, START, call, table, traffic

from meshwarden.behaviour import Model
from meshwarden.behaviour.counts import LEVEL, WINDOW, count, pools
from meshwarden.behaviour.declared import GRACE, expect
from meshwarden.behaviour.season import SEASON
from meshwarden.kernel import Call

MIDNIGHT = START // DAY * DAY


class _Source:
    """Keys of one source, counted by the hour."""

    def __init__(self, keys: int) -> None:
        self.records, self.pool = np.zeros(keys, WINDOW), pools(1)[0]
        self.levels, self.seasons = np.zeros(2, LEVEL), np.zeros(2, SEASON)

    def hour(self, key: int, number: int, amount: float) -> float:
        surprise, _ = count(
            self.records[key], number == 0, False, number, amount, self.pool, self.levels[0],
            self.levels[1], self.seasons[0], self.seasons[1], 1, math.nan,
        )  # fmt: skip
        return float(surprise)


def _by_day(number: int) -> float:
    return 400.0 if 8 <= number % 24 < 20 else 20.0


def test_a_key_that_keeps_no_hours_is_judged_without_its_sources() -> None:
    """Three keys are busy by day; a probe goes by the clock."""
    source, chance = _Source(4), np.random.default_rng(1)
    said = []
    for number in range(24 * 8):
        for key in range(3):
            source.hour(key, number, float(chance.poisson(_by_day(number))))
        said.append(source.hour(3, number, float(chance.poisson(100.0))))
    probe, busy = source.records[3], source.records[0]
    slope = [float(each["along"] / each["across"]) for each in (probe, busy)]
    assert abs(slope[0]) < 0.2
    assert slope[1] > 0.8
    assert max(said[24 * 7 :]) < 3.0


def test_where_few_are_expected_chance_makes_more_of_a_difference() -> None:
    """Nine instead of three calls an hour is less odd than 1,200 instead of 400."""
    source, chance = _Source(2), np.random.default_rng(2)
    for number in range(24 * 20):
        for key, usual in enumerate((3.0, 400.0)):
            source.hour(key, number, max(float(chance.poisson(usual)), 1.0))
    few, many = (source.hour(key, 24 * 20, 3.0 * usual) for key, usual in ((0, 3.0), (1, 400.0)))
    assert many > few + 1.0


def test_what_a_release_brought_counts_little_until_a_week_has_seen_it() -> None:
    hours = np.array([1000, 1010, 1030, 1084, 1169], np.int32)
    n = len(hours)
    fresh = np.zeros((n, 5), np.bool_)
    fresh[0, 2] = True
    expected, graced, renewed = (np.zeros(n, np.bool_) for _ in range(3))
    ripeness = np.ones(n, np.float32)
    stance = np.where(fresh[:, 2], GRACE, 0).astype(np.int8)
    expect(
        np.zeros(n, np.int32), fresh, stance, hours, np.zeros(1, np.int32), expected, graced,
        renewed, ripeness,
    )  # fmt: skip
    assert expected.all()
    assert graced.tolist() == [True, True, True, True, False]
    assert np.allclose(ripeness, [0.0, 0.0, 30 / 168, 84 / 168, 1.0])


class _Everything:
    def allows(self, source: str, destination: str, method: str | None, route: str | None) -> bool:
        del source, destination, method, route
        return True


def _days(days: int, begin: int, release: str) -> list[Call]:
    """Calls of waking hours on all edges."""
    return [
        each
        for day in range(days)
        for each in traffic(
            12, seed=day, begin=begin + day * DAY + 8 * HOUR, rate=60.0, release=release
        )
    ]


def test_a_released_service_that_is_called_day_and_night_on_a_waking_edge_raises_nothing() -> None:
    model = Model(SMALL, declared=_Everything())
    model.observe(table(_days(8, MIDNIGHT, "r0")))
    begin = MIDNIGHT + 8 * DAY
    new = [
        call(begin + 9 * HOUR + k * 90_000_000_000, "s1", "s3", route="/v2", release="r1")
        for k in range(40 * 24 * 5)
    ]
    calls = sorted([*_days(6, begin, "r1"), *new], key=lambda each: each.time)
    findings = model.observe(table(calls)).findings
    assert [one.sentence for one in findings if "/v2" in "".join(one.evidence)] == []
