"""How far anyone moves what is learned in a day, whatever he does: the figures of the reference."""

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.behaviour_world import SMALL, START, call, table, traffic

from meshwarden.behaviour import Model
from meshwarden.behaviour.counts import LEVEL, POOL, WINDOW, count, pools
from meshwarden.behaviour.season import SEASON

HOURS = 400
_USUAL = 100.0
_LEVEL, _SPREAD = 0.23, 1.28  # deviations in a day, and by how much a deviation grows in it


class _Key:
    """One key with 400 hours of history about `_USUAL` an hour, among many others like it."""

    def __init__(self) -> None:
        self.record = np.zeros(1, WINDOW)[0]
        self.pool = pools(1)[0]
        for name, factor in zip(POOL.fields or (), [0.1, 0.0, 0.1, 1.0, *[0.16] * 6], strict=True):
            self.pool[name] *= 5000.0 * factor
        self.pool["mean"] = math.log(_USUAL)
        self.level, self.season = np.zeros(2, LEVEL), np.zeros(2, SEASON)
        self.hour = START // (3600 * 10**9)
        chance = np.random.default_rng(3)
        for number in range(HOURS):
            self.learn(_USUAL * math.exp(chance.normal(0.0, 0.4)), fresh=number == 0)

    def learn(self, amount: float, *, fresh: bool = False) -> float:
        """Let an hour pass in which it is `amount`; return its surprise."""
        self.hour += 1
        surprise, _ = count(
            self.record, fresh, False, self.hour, amount, self.pool, self.level[0], self.level[1],
            self.season[0], self.season[1], 1, math.nan,
        )  # fmt: skip
        return float(surprise)

    @property
    def predicted(self) -> tuple[float, float]:
        """Level without the hour of the day, and deviation."""
        return float(self.record["mean"]), float(self.record["deviation"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 25.0), min_size=24, max_size=24))
def test_a_day_of_anything_moves_an_hourly_baseline_by_a_quarter_of_a_deviation(
    logs: list[float],
) -> None:
    key = _Key()
    level, deviation = key.predicted
    for each in logs:
        key.learn(math.exp(each))
    key.learn(_USUAL)
    moved, spread = key.predicted
    assert abs(moved - level) <= _LEVEL * deviation
    assert spread <= _SPREAD * deviation


def _ten_days_of(factor_a_day: float) -> tuple[Any, float]:
    key = _Key()
    amount = _USUAL
    for hour in range(240):
        amount = _USUAL * factor_a_day ** (hour / 24.0)
        key.learn(amount)
    return key.predicted, amount


def test_a_ramp_outruns_what_it_teaches() -> None:
    (level, _), amount = _ten_days_of(2.0)
    assert math.log(amount) - level > math.log(100.0)


@settings(max_examples=5, deadline=None)
@given(st.integers(10, 1500))
def test_a_day_of_strangers_leaves_the_next_one_a_surprise(strangers: int) -> None:
    """However many an identity meets in a day, 72 are the most that count."""
    model = Model(SMALL)
    model.observe(table(traffic(240)))
    begin = START + 240 * 3600 * 10**9
    step = 24 * 3600 * 10**9 // strangers
    model.observe(table([call(begin + k * step, "s6", f"x{k}") for k in range(strangers)]))
    news = next(d for d in model.detectors if d.name == "topology").state["sources"]
    assert float(news["events"].sum() + np.minimum(news["now"], 3.0).sum()) <= 72.0 + 10.0
