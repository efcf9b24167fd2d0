"""Season: what the hour of the day adds to a log count, by identity, shrunk to everyone's.

Banks sleep at night. A log count is the key's own level, plus what this hour of the day adds for
its source, times how far the key keeps these hours (`counts`), plus noise. What is learned for an
hour is the mean of the residuals seen in it, by keys that have a level already; an identity that
taught an hour little goes by what everyone does then, and where nobody taught anything the hour
adds nothing.

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
_MEMORY: Final = 100.0  # hours of an hour of the day
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
def learn_hour(
    season: Any, everyone: Any, hour: int, residual: float, slope: float, per_hour: int
) -> None:
    """Learn what a window held more, or less, than its key's level.

    Args:
        season: of the key's source.
        everyone: of all.
        hour: of the day.
        residual: of a log count.
        slope: how far the key keeps these hours; one that does not, teaches nothing about them.
        per_hour: windows in an hour.
    """
    for each, memory in ((season, _MEMORY), (everyone, _MEMORY_OF_ALL)):
        weight = each.weight[hour] = min(each.weight[hour] + slope * slope, memory * per_hour)
        each.mean[hour] += slope * (residual - slope * each.mean[hour]) / max(weight, 1.0)


@compiled
def forget_hours(season: Any) -> None:
    """Begin an identity's hours anew; where nothing was learned, no memory is touched."""
    for hour in range(24):
        if season.weight[hour] != 0.0:
            season.weight[hour] = season.mean[hour] = 0.0


@compiled
def slot_of(hour: int) -> int:
    """Return the slot of an hour since the epoch, UTC: 24 of weekdays, then 24 of weekends."""
    weekend = (hour // 24 + 3) % 7 >= 5  # the epoch began on a Thursday
    return hour % 24 + (24 if weekend else 0)
