"""How far anyone moves what is learned in a day, whatever he does: the figures of the reference."""

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.behaviour_world import DAY, HOUR, SMALL, START, call, name, table, traffic

from meshwarden.behaviour import Model
from meshwarden.behaviour.counts import LEVEL, POOL, WINDOW, count, pools
from meshwarden.behaviour.detectors.shape import Shape
from meshwarden.behaviour.detectors.silence import Silence
from meshwarden.behaviour.encode import encode, key_of
from meshwarden.behaviour.ground import Ground
from meshwarden.behaviour.season import SEASON, slot_of

HOURS = 400
_USUAL = 100.0
_LEVEL, _SPREAD = 0.23, 1.28  # deviations in a day, and by how much a deviation grows in it


class _Key:
    """One key with 400 hours of history about `_USUAL` an hour, among many others like it."""

    def __init__(self) -> None:
        self.record = np.zeros(1, WINDOW)[0]
        self.pool = pools(1)[0]
        for part, factor in zip(POOL.fields or (), [0.1, 0.0, 0.1, 1.0, *[0.16] * 6], strict=True):
            self.pool[part] *= 5000.0 * factor
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


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=24, max_size=24))
def test_a_day_of_failures_teaches_twenty_calls_an_hour(failures: list[int]) -> None:
    shape, ground = Shape(SMALL), Ground(SMALL)
    calls = [
        call(START + hour * HOUR + k, "s0", "s1", status=403 if k < bad else 200)
        for hour, bad in enumerate([*failures, 0])
        for k in range(bad + 10)
    ]
    encoded = encode(table(calls))
    shape.observe(ground.place(encoded, encoded.time), np.zeros(1 << SMALL.node_bits, np.bool_))
    for runs in ("edge runs", "link runs"):
        past = shape.state[runs]["past"]
        assert 0.0 < past.sum() <= 24 * 20.0 * 1.0001
        assert past[:, 1].sum() <= sum(min(bad, 20) for bad in failures) * 1.0001


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 2000))
def test_a_day_of_calls_in_an_odd_hour_is_one_vote_for_it(many: int) -> None:
    midnight = (START // DAY + 6) * DAY  # a Monday
    usual = [call(midnight + k * HOUR, "s0", "s1") for k in range(3 * 24) if 8 <= k % 24 < 18]
    odd = [call(midnight + 3 * DAY + 3 * HOUR + k * 10**9, "s0", "s1") for k in range(many)]
    others = [call(midnight + k * HOUR, "s2", "s3") for k in range(4 * 24)]
    encoded = encode(table(sorted([*usual, *odd, *others], key=lambda each: each.time)))
    silence, placed = Silence(SMALL), Ground(SMALL).place(encoded, encoded.time)
    silence.observe(placed, np.zeros(1 << SMALL.node_bits, np.bool_))
    slot, edge = (
        slot_of(midnight // HOUR + 3 * 24 + 3),
        placed.edge[encoded.source == key_of(name("s0"))][0],
    )
    votes, days = (silence.state[f"habits {part}"][slot, edge] for part in ("called", "days"))
    assert (votes, days) == (1, 3)


@settings(max_examples=5, deadline=None)
@given(st.integers(4, 40))
def test_a_day_of_odd_groups_teaches_the_tails_three(groups: int) -> None:
    """However many edges of an identity are odd in a day, three become usual for everyone."""
    model = Model(SMALL)
    model.observe(table(traffic(240)))
    begin = (START // DAY + 11) * DAY

    def tail() -> float:
        model.alarms.turn(int(model.times[1] // HOUR) + 1, len(model.ground.nodes))
        rows = model.alarms.state["histogram"]
        return float(rows[-1, 16:].sum())  # four nats and more, by all channels

    before = tail()
    odd = [
        call(begin + k * 20 * 60 * 10**9, "s6", f"x{k % 40}", status=500)
        for k in range(groups)
        if k * 20 < 23 * 60  # within the day
    ]
    model.observe(table(odd))
    assert tail() <= before + 3.0
