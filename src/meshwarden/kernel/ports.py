"""What capabilities and use-cases need from outside, as protocols: time, chance, storage.

Adapters implement them; tests hand in fakes that pass the same contract suite.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from meshwarden.kernel.finding import Finding


class Clock(Protocol):
    """The time of day."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...


class Chance(Protocol):
    """Numbers nobody can guess."""

    def serial(self) -> int:
        """Return a certificate's serial number, 64 to 159 bits."""
        ...

    def uniform(self) -> float:
        """Return a number of [0, 1)."""
        ...


class FindingStore(Protocol):
    """Where findings are kept; nothing stored is lost by a crash after `store_finding` returned."""

    def store_finding(self, finding: Finding) -> None:
        """Keep `finding` durably; DependencyError where that fails."""
        ...

    def load_findings(self, *, limit: int = 1000) -> Iterable[Finding]:
        """Return the newest `limit` findings, oldest first."""
        ...
