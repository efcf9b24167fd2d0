"""Seasons: the hours of a weekday and of a weekend day, by which habits are kept."""

from typing import Final

from meshwarden.behaviour.compiled import compiled

SLOTS: Final = 48


@compiled
def slot_of(hour: int) -> int:
    """Return the slot of an hour since the epoch, UTC: 24 of weekdays, then 24 of weekends."""
    weekend = (hour // 24 + 3) % 7 >= 5  # the epoch began on a Thursday
    return hour % 24 + (24 if weekend else 0)
