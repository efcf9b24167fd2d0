"""Which connections were reported lately: the same packet is seen at several points."""

from typing import Final

from meshwarden.adapters.sources.row import Row

_REMEMBERED: Final = 65_536
_MINUTE: Final = 60_000_000_000


class RecentConnections:
    """The last 65,536 to 131,072 connections by their endpoints, and when each was seen."""

    def __init__(self) -> None:
        self._now: dict[tuple[object, ...], int] = {}
        self._before: dict[tuple[object, ...], int] = {}

    def is_new(self, row: Row) -> bool:
        """Return whether `row` is the first of its connection within a minute; remember it."""
        ends = (row.get("source_instance"), row.get("source_port"))
        key = (row["protocol"], row["denied"], *ends, *_far(row))
        last = self._now.get(key, self._before.get(key))
        if last is None or abs(row["time"] - last) >= _MINUTE:
            if len(self._now) >= _REMEMBERED:
                self._before, self._now = self._now, {}
            self._now[key] = row["time"]
            return True
        return False


def _far(row: Row) -> tuple[object, ...]:
    return row.get("destination_instance"), row.get("destination_port")
