"""`Recent`: the last calls by number, so that a finding can name those behind it."""

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.ground import Placed

_SEEN: Final = 4096  # calls before one that are looked through; a segment has no more
_MOST: Final = 9  # of them that are named
_CALL: Final = np.dtype(
    [
        ("row", "i8"),
        ("time", "i8"),
        ("hour", "i4"),
        ("about", "i4", (3,)),  # numbers of its edge, source and destination
        ("source", "u8"),
        ("destination", "u8"),
    ]
)


class Recent:
    """The last calls. Nothing of it is saved: it is for people to read."""

    def __init__(self) -> None:
        self._calls = np.zeros(2 * _SEEN, _CALL)
        self._calls["row"] = -1

    def keep(self, first: int, placed: Placed) -> None:
        """Take a segment: it ends before the next multiple of 4,096, which `first` counts to."""
        at = first % (2 * _SEEN)
        kept = self._calls[at : at + len(placed)]
        kept["row"] = np.arange(first, first + len(placed))
        kept["time"], kept["hour"] = placed.calls.time, placed.hour
        for k, numbers in enumerate((placed.edge, placed.source, placed.destination)):
            kept["about"][:, k] = numbers
        kept["source"], kept["destination"] = placed.calls.source, placed.calls.destination

    def before(self, row: int, about: int) -> NDArray[Any]:
        """Return the calls of the same hour before `row`, the latest of the last 4,096, in order.

        Args:
            row: number of a call that was taken last.
            about: whose: 0 of its edge, 1 of its source, 2 of its destination.
        """
        calls, this = self._calls, self._calls[row % len(self._calls)]
        same = (calls["about"][:, about] == this["about"][about]) & (calls["hour"] == this["hour"])
        same &= (calls["row"] < row) & (calls["row"] >= max(row - _SEEN, 0))
        found = calls[same]
        latest: NDArray[Any] = found[np.argsort(found["row"])][-_MOST:]
        return latest


def call_line(row: int, time: int, source: str, destination: str, service: str = "") -> str:
    """Return a call in one line: its number, time, parties and service."""
    when = datetime.fromtimestamp(time / 1e9, UTC).isoformat()
    return f"call {row}: {when} {source} -> {destination} {service}".rstrip()
