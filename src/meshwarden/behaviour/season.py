"""Season: what the hour of the day adds to a log count, by identity, shrunk to everyone's.

Banks sleep at night. An additive model: a log count is the key's own mean, plus what this hour of
the day adds for its source, plus noise. What is learned for an hour is the mean of the residuals
seen in it, by keys that have a mean already; an identity that taught an hour little goes by what
everyone does then, and where nobody taught anything the hour adds nothing.

Habits of being there at all (`silence`) are kept by slots: weekends have hours of their own.
"""

from typing import Any, Final

import numpy as np

from meshwarden.behaviour.compiled import compiled

SLOTS: Final = 48
SEASON: Final = np.dtype([("mean", "f4", (24,)), ("weight", "f4", (24,))])
SETTLED: Final = 4.0  # windows from which on a key's mean is one to measure hours by
_OWN: Final = 8.0  # residuals of an identity that everyone's are worth
_NOTHING: Final = 20.0  # residuals of everyone that "nothing" is worth
_MEMORY: Final = 100.0
_MEMORY_OF_ALL: Final = 5000.0


@compiled
def hour_of(window: int, per_hour: int) -> int:
    """Return the hour of the day of a window, of which there are so many in an hour."""
    return window // per_hour % 24


@compiled
def added(season: Any, everyone: Any, hour: int) -> float:
    """Return what an hour of the day adds to a log count."""
    usual = everyone.weight[hour] * everyone.mean[hour] / (everyone.weight[hour] + _NOTHING)
    own: float = season.weight[hour]
    shrunk: float = (own * season.mean[hour] + _OWN * usual) / (own + _OWN)
    return shrunk


@compiled
def learn_hour(season: Any, everyone: Any, hour: int, residual: float) -> None:
    """Learn what a window held more, or less, than its key's mean."""
    for each, memory in ((season, _MEMORY), (everyone, _MEMORY_OF_ALL)):
        each.weight[hour] = min(each.weight[hour] + 1.0, memory)
        each.mean[hour] += (residual - each.mean[hour]) / each.weight[hour]


@compiled
def slot_of(hour: int) -> int:
    """Return the slot of an hour since the epoch, UTC: 24 of weekdays, then 24 of weekends."""
    weekend = (hour // 24 + 3) % 7 >= 5  # the epoch began on a Thursday
    return hour % 24 + (24 if weekend else 0)
