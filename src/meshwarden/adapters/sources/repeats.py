"""Whether a record came before: the small memory against duplicates."""

from collections.abc import Hashable
from typing import Final

REMEMBERED: Final = 65_536


class Repeats:
    """Knows the last 65,536 to 131,072 records by their hashes."""

    def __init__(self) -> None:
        self._now: set[int] = set()
        self._before: set[int] = set()

    def known(self, record: Hashable) -> bool:
        """Return whether `record` came lately, and remember it."""
        key = hash(record)
        if key in self._now or key in self._before:
            return True
        if len(self._now) >= REMEMBERED:
            self._before, self._now = self._now, set()
        self._now.add(key)
        return False
