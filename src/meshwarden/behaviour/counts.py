"""Counts in windows: is this minute's, hour's, day's count more than this key makes?

Log counts of windows in which there was anything, per key, under a hierarchical normal model:

1. within a key: its own mean and spread, the spread never below that of all keys together;
2. hours: what the hour of the day adds is learned per source (`season`), and taken off first;
3. between keys: a young key is judged by what is usual for its source and its destination, and
   those by what is usual at all (empirical Bayes: both variances are estimated as it goes);
4. the predictive is Student's t with 3 degrees of freedom, however long the history: counts have
   heavier tails than any model of them (capped degrees of freedom).

A window is learned when the next one opens: winsorized at 3 deviations, and not at all while its
source or destination is alarming. Surprise is computed anew each time the count grows by 5 %.
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
        ("added", "f4"),  # by the hour of the day, to the center
    ]
)
LEVEL: Final = np.dtype([("weight", "f4"), ("mean", "f4")])
POOL: Final = np.array([4.0, 1.0, 8.0, 4.0, 4.0])
_DEGREES: Final = 3.0
_MEMORY: Final = 400.0
_NODE_MEMORY: Final = 20.0
_LEAST: Final = 1.0  # nats; less is nothing
_USUAL: Final = 0.3  # deviations; so few are less than that
Array = NDArray[Any]


@compiled
def _predict(record: Any, pool: Array, up: Any, down: Any) -> tuple[float, float]:
    """Return mean and deviation of the next log count."""
    within = pool[4] / pool[3]
    between = max(pool[2] / pool[0] - within, 0.1 * within)
    own = max((4.0 * within + record.square) / (4.0 + record.weight), within)
    prior = (4.0 * pool[1] + up.weight * up.mean + down.weight * down.mean) / (
        4.0 + up.weight + down.weight
    )
    trust, doubt = record.weight / own, 1.0 / between
    mean = (trust * record.mean + doubt * prior) / (trust + doubt)
    return mean, math.sqrt(own + 1.0 / (trust + doubt))


@compiled
def _pool(pool: Array, at: int, value: float, most: float) -> None:
    """Add a squared residual to a pooled variance: `pool[at]` its weight, the rest by place."""
    total = 2 if at == 0 else 4
    pool[at] += 1.0
    pool[total] += value
    if pool[at] > most:
        pool[total] *= most / pool[at]
        pool[at] = most


@compiled
def _learn(
    record: Any, pool: Array, up: Any, down: Any, x: float, season: Any, everyone: Any,
    per_hour: int,
) -> None:  # fmt: skip
    x = min(max(x, record.center - 3.0 * record.deviation), record.center + 3.0 * record.deviation)
    if per_hour > 0 and record.weight >= SETTLED:
        learn_hour(season, everyone, hour_of(record.window, per_hour), x - record.mean)
    x -= record.added
    step = x - record.mean
    if record.weight < 1.0:
        pool[1] += (x - pool[1]) / (pool[0] + 1.0)
        _pool(pool, 0, (x + record.added - record.center) ** 2, 2000.0)
    else:
        _pool(pool, 3, step * step * record.weight / (record.weight + 1.0), 20000.0)
    record.weight += 1.0
    record.mean += step / record.weight
    record.square += step * (x - record.mean)
    if record.weight > _MEMORY:
        record.square *= _MEMORY / record.weight
        record.weight = _MEMORY
    for level in (up, down):
        level.weight = min(level.weight + 1.0, _NODE_MEMORY)
        level.mean += (x - level.mean) / level.weight


@compiled
def _open(
    record: Any, fresh: bool, mute: bool, window: int, pool: Array, up: Any, down: Any, season: Any,
    everyone: Any, per_hour: int,
) -> None:  # fmt: skip
    """Learn the window that is over, and begin this one."""
    if fresh:
        record.weight = record.mean = record.square = 0.0
    elif record.count > 0.0 and not mute:
        _learn(record, pool, up, down, math.log(record.count), season, everyone, per_hour)
    record.window, record.count, record.surprise, record.next = window, 0.0, 0.0, 1.0
    record.center, record.deviation = _predict(record, pool, up, down)
    record.added = 0.0
    if per_hour > 0:
        record.added = added(season, everyone, hour_of(window, per_hour))
        record.center += record.added
        day = 24.0 * per_hour  # whether a young key keeps its source's hours is not known yet
        doubt = record.added**2 * day / (day + record.weight)
        record.deviation = math.sqrt(record.deviation**2 + doubt)


@compiled
def _judge(record: Any) -> None:
    """Compute the surprise of what the window holds so far."""
    record.next = record.count * 1.05
    t = (math.log(record.count) - record.center) / record.deviation
    tail = student_tail(t, _DEGREES) if t > _USUAL else 0.0
    record.surprise = tail if tail > _LEAST else 0.0


@compiled
def count(
    record: Any,
    fresh: bool,
    mute: bool,
    window: int,
    amount: float,
    pool: Array,
    up: Any,
    down: Any,
    season: Any,
    everyone: Any,
    per_hour: int,
) -> tuple[float, bool]:
    """Add to a key's window; return the surprise of what it holds, and whether it just opened.

    `per_hour` is how many windows an hour has, 0 where they have no hour of the day.
    """
    opened = fresh or record.window != window
    if opened:
        _open(record, fresh, mute, window, pool, up, down, season, everyone, per_hour)
    record.count += amount
    if record.count >= record.next:
        _judge(record)
    return record.surprise, opened
