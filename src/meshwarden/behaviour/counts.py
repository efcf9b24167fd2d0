"""Counts in windows: is this minute's, hour's, day's count more than this key makes?

Log counts of windows in which there was anything, per key, under a hierarchical normal model:

1. within a key: its own mean and spread, the spread never below that of all keys together; where
   few calls are expected, chance adds to it (Poisson's variance of a log count, times how bunched
   calls are, by regression over all keys): counts of the night scatter more than those of the day;
2. hours: what the hour of the day adds is learned per source (`season`). How far a key keeps these
   hours is a slope of its own, by least squares, shrunk to 1: a probe by the clock has none;
3. between keys: a young key is judged by what is usual for its source and its destination, and
   those by what is usual at all (empirical Bayes: both variances are estimated as it goes);
4. the predictive is Student's t with 3 degrees of freedom, however long the history: counts have
   heavier tails than any model of them (capped degrees of freedom).

A window is learned when the next one opens: winsorized at 3 deviations, and not at all while its
source or destination is alarming. The day in which a key began is no whole window. Surprise is
computed anew each time the count grows by 5 %.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.season import SETTLED, added, hour_of, learn_hour
from meshwarden.behaviour.surprise import student_tail

WINDOW: Final = np.dtype(
    [
        ("window", "i4"),
        ("count", "f4"),
        ("next", "f4"),  # count at which surprise is computed again
        ("surprise", "f4"),
        ("weight", "f4"),  # windows learned, at most _MEMORY
        ("mean", "f4"),
        ("square", "f4"),
        ("center", "f4"),  # predicted for this window
        ("deviation", "f4"),
        ("grain", "f4"),  # share of Poisson's in the predicted variance
        ("added", "f4"),  # by the hour of the day, before the slope
        ("usual", "f4"),  # mean of `added` over the windows learned
        ("across", "f4"),  # squares of its deviations from that
        ("along", "f4"),  # products of these with the deviations of log counts
    ]
)
LEVEL: Final = np.dtype([("weight", "f4"), ("mean", "f4")])
POOL: Final = np.dtype(
    [  # what all keys of a channel have in common
        ("keys", "f8"),  # first windows: how many, and their logs' mean and squared residuals
        ("mean", "f8"),
        ("scatter", "f8"),
        ("windows", "f8"),  # later ones: how many, and sums of squared residuals, of grains,
        ("squares", "f8"),
        ("grains", "f8"),
        ("fineness", "f8"),  # of grains squared,
        ("shared", "f8"),  # and of the products of grains and squares
        ("within", "f8"),  # variance of later ones at any size,
        ("bunches", "f8"),  # and how many Poisson's are added to it
    ]
)
_AT_FIRST: Final = (4.0, 1.0, 8.0, 4.0, 4.0, 1.0, 0.25, 1.0, 0.75, 1.0)
_MEMORY: Final = 400.0  # hours, or days: minutes are remembered for as many hours
_POOLED: Final = 20_000.0  # windows that all keys' spread is learned from
_PRIOR_GRAIN: Final = 1.0
_MOST_BUNCHES: Final = 4.0
_LEAST_WITHIN: Final = 0.01
_MOST_SLOPE: Final = 1.5
_SLOPE_PRIOR: Final = 4.0  # squared deviations: what was added has to have varied by more
DAY: Final = 0  # windows that have no hour of the day
_NODE_MEMORY: Final = 20.0
_LEAST: Final = 1.0  # nats; less is nothing
_USUAL: Final = 0.3  # deviations; so few are less than that
Array = NDArray[Any]


def pools(channels: int) -> Array:
    """Return what is assumed of all keys of each channel: POOL[channels]."""
    return np.full(channels, np.array(_AT_FIRST, POOL))


@compiled
def _grain(center: float) -> float:
    """Return about what chance alone adds to the variance of a log count above 0: Poisson's."""
    expected = math.exp(min(max(center, 0.0), 30.0))
    return 1.0 / (expected + 2.0 / expected)


@compiled
def _split(pool: Any) -> None:
    """Set the variance that counts have at any size, and how many Poisson's are added to it.

    By least squares of squared residuals upon `_grain`; calls that come in bunches are more than
    one Poisson, clockwork is less.
    """
    n, grain = pool.windows, pool.grains
    spread = pool.fineness - grain * grain / n
    shared = pool.shared - grain * pool.squares / n
    bunches = min(max((shared + _PRIOR_GRAIN) / (spread + _PRIOR_GRAIN), 0.0), _MOST_BUNCHES)
    pool.within, pool.bunches = max((pool.squares - bunches * grain) / n, _LEAST_WITHIN), bunches


@compiled
def _own(record: Any, within: float) -> float:
    """Return a key's own variance beyond Poisson's, never below that of all keys."""
    weight = max(record.weight, 0.0)
    return float(max((4.0 * within + record.square) / (4.0 + weight), within))


@compiled
def _slope(record: Any, own: float) -> float:
    """Return how far a key keeps its source's hours: 1 is what is assumed of a new one."""
    prior = _SLOPE_PRIOR * own
    return float(min(max((record.along + prior) / (record.across + prior), 0.0), _MOST_SLOPE))


@compiled
def _predict(record: Any, pool: Any, up: Any, down: Any, events: float) -> None:
    """Set center and deviation of the next log count."""
    within, bunches = pool.within, pool.bunches
    usual = pool.squares / pool.windows
    between = max(pool.scatter / pool.keys - usual, 0.1 * usual)
    own = _own(record, within)
    prior = (4.0 * pool.mean + up.weight * up.mean + down.weight * down.mean) / (
        4.0 + up.weight + down.weight
    )
    slope = _slope(record, own)
    trust, doubt = max(record.weight, 0.0) / (own + 0.1 * bunches), 1.0 / between
    level = (trust * (record.mean - slope * record.usual) + doubt * prior) / (trust + doubt)
    record.center = level + slope * record.added
    record.grain = _grain(record.center if math.isnan(events) else events)
    noise = own + bunches * record.grain
    lever = (record.added - record.usual) ** 2 * own / (record.across + own)
    record.deviation = math.sqrt(noise + 1.0 / (trust + doubt) + lever)


@compiled
def _pool_residual(pool: Any, square: float, grain: float) -> None:
    """Add a squared residual within a key to what is known of all of them."""
    pool.windows += 1.0
    pool.squares += square
    pool.grains += grain
    pool.fineness += grain * grain
    pool.shared += grain * square
    if pool.windows > _POOLED:
        keep = _POOLED / pool.windows
        pool.windows *= keep
        pool.squares *= keep
        pool.grains *= keep
        pool.fineness *= keep
        pool.shared *= keep
    _split(pool)


@compiled
def _learn(
    record: Any, pool: Any, up: Any, down: Any, x: float, season: Any, everyone: Any,
    per_hour: int,
) -> None:  # fmt: skip
    x = min(max(x, record.center - 3.0 * record.deviation), record.center + 3.0 * record.deviation)
    within, bunches = pool.within, pool.bunches
    own = _own(record, within)
    slope = _slope(record, own)
    if per_hour > 0 and record.weight >= SETTLED:
        hour = hour_of(record.window, per_hour)
        residual = x - record.mean + slope * record.usual
        learn_hour(season, everyone, hour, residual, slope, per_hour)
    if record.weight < 1.0:
        pool.mean += (x - record.added - pool.mean) / (pool.keys + 1.0)
        pool.keys += 1.0
        pool.scatter += (x - record.center) ** 2
        if pool.keys > 2000.0:
            pool.scatter *= 2000.0 / pool.keys
            pool.keys = 2000.0
    else:
        off = x - record.mean - slope * (record.added - record.usual)
        square = off * off * record.weight / (record.weight + 1.0)
        _pool_residual(pool, square, record.grain)
        record.square += square - bunches * record.grain
    record.weight += 1.0
    step, turn = x - record.mean, record.added - record.usual
    record.mean += step / record.weight
    record.usual += turn / record.weight
    record.across += turn * (record.added - record.usual)
    record.along += turn * (x - record.mean)
    _fade(record, _MEMORY * max(per_hour, 1))
    for level in (up, down):
        level.weight = min(level.weight + 1.0, _NODE_MEMORY)
        level.mean += (x - record.added - level.mean) / level.weight


@compiled
def _fade(record: Any, memory: float) -> None:
    """Let what is older than the memory, in windows, count less."""
    if record.weight > memory:
        keep = memory / record.weight
        record.square *= keep
        record.across *= keep
        record.along *= keep
        record.weight = memory


@compiled
def forget(record: Any) -> None:
    """Begin a key anew."""
    record.weight = record.mean = record.square = record.count = 0.0
    record.usual = record.across = record.along = 0.0


@compiled
def _open(
    record: Any, fresh: bool, mute: bool, window: int, pool: Any, up: Any, down: Any, season: Any,
    everyone: Any, per_hour: int, events: float,
) -> None:  # fmt: skip
    """Learn the window that is over, and begin this one."""
    if fresh:
        forget(record)
        record.weight = -1.0 if per_hour == DAY else 0.0
    elif record.weight < 0.0:
        record.weight = 0.0
    elif record.count > 0.0 and not mute:
        _learn(record, pool, up, down, math.log(record.count), season, everyone, per_hour)
    record.window, record.count, record.surprise, record.next = window, 0.0, 0.0, 1.0
    record.added = 0.0
    if per_hour > 0:
        record.added = added(season, everyone, hour_of(window, per_hour))
    _predict(record, pool, up, down, events)


@compiled
def _judge(record: Any) -> None:
    """Compute the surprise of what the window holds so far."""
    record.next = record.count * 1.05
    t = (math.log(record.count) - record.center) / record.deviation
    tail = student_tail(t) if t > _USUAL else 0.0
    record.surprise = tail if tail > _LEAST else 0.0


@compiled
def adds(record: Any, fresh: bool, window: int, amount: float) -> bool:
    """Add to a window that is open, where its surprise stays; return whether it was that simple.

    Else nothing was done, and it is for `count`. This is small enough to become part of a loop.
    """
    if fresh or record.window != window:
        return False
    total = np.float32(record.count + amount)
    if total >= record.next:
        return False
    record.count = total
    return True


@compiled
def count(
    record: Any,
    fresh: bool,
    mute: bool,
    window: int,
    amount: float,
    pool: Any,
    up: Any,
    down: Any,
    season: Any,
    everyone: Any,
    per_hour: int,
    events: float,
) -> tuple[float, bool]:
    """Add to a key's window; return the surprise of what it holds, and whether it just opened.

    `per_hour` is how many windows an hour has, 0 where they have no hour of the day; `events` the
    ln of how many the amount is made of, usually, nan where it is their number itself.
    """
    opened = fresh or record.window != window
    if opened:
        _open(record, fresh, mute, window, pool, up, down, season, everyone, per_hour, events)
    record.count += amount
    if record.count >= record.next:
        _judge(record)
    return record.surprise, opened
