"""How often each value is seen among all subjects: a count-min sketch for each kind of value.

Source: G. Cormode, S. Muthukrishnan: An Improved Data Stream Summary, 2005. Four rows of 2^14
counters overestimate by at most total/6,000 in 98 of 100 cases; a value is never underestimated, so
that a rare one never looks rarer than it is. Old counts fade: all are halved now and then.
"""

from array import array
from dataclasses import dataclass, field
from typing import Final

ROWS: Final = 4
BITS: Final = 14
KINDS: Final = ("address", "network", "country", "agent", "device", "hour")
HALVE_AT: Final = 5_000_000.0
_MASK: Final = (1 << BITS) - 1


def _counters() -> "array[float]":
    return array("f", bytes(4 * ROWS << BITS))


@dataclass(slots=True)
class Population:
    """Counts of all subjects together."""

    counters: dict[str, "array[float]"] = field(
        default_factory=lambda: {kind: _counters() for kind in KINDS}
    )
    total: float = 0.0

    def share(self, kind: str, name: int) -> float:
        """Return the share of requests that show the value `name`; never 0 (add-one)."""
        counters = self.counters[kind]
        found = min(counters[row << BITS | name >> row * BITS & _MASK] for row in range(ROWS))
        return (found + 1.0) / (self.total + 2.0)

    def observe(self, names: dict[str, int]) -> None:
        """Count one request that shows these values."""
        for kind, name in names.items():
            counters = self.counters[kind]
            for row in range(ROWS):
                counters[row << BITS | name >> row * BITS & _MASK] += 1.0
        self.total += 1.0
        if self.total >= HALVE_AT:
            self._halve()

    def _halve(self) -> None:
        for kind, counters in self.counters.items():
            self.counters[kind] = array("f", (one / 2 for one in counters))
        self.total /= 2
