"""What reading a source came to: counts by reason, one line each for what was odd, the span."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MAX_REASONS: Final = 64
_OTHERS: Final = "other reasons"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """One record that is no call: where it stands (`line 7`, `row 3`), why, its first octets."""

    file: str
    where: str
    reason: str
    record: bytes = b""


@dataclass(slots=True, kw_only=True)
class SourceReport:
    """Counts that grow while a source is read.

    Attributes:
        records: lines or rows read, blank ones not counted.
        calls: calls that came of them.
        quiet: records that report no call by design: headers, replies, half of a pair.
        set_aside: records that could not be read, by reason; duplicates too.
        notes: what was odd but read all the same, by note: how often.
        formats: calls by format.
        files: how many were read.
        first: start of the earliest call, nanoseconds since the epoch; None without calls.
        last: start of the latest.
        proven: calls whose both sides proved who they are.
        unnamed: calls with a party that is `unknown`.
    """

    records: int = 0
    calls: int = 0
    quiet: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    files: int = 0
    first: int | None = None
    last: int | None = None
    proven: int = 0
    unnamed: int = 0

    @property
    def aside(self) -> int:
        """How many records were set aside in all."""
        return self.set_aside.total()

    def put_aside(self, reason: str, count: int = 1) -> None:
        """Count records that were set aside; beyond 64 reasons they are summed up."""
        known = reason in self.set_aside or len(self.set_aside) < MAX_REASONS
        self.set_aside[reason if known else _OTHERS] += count

    def note(self, text: str, count: int = 1) -> None:
        """Count something odd; beyond 64 notes they are summed up."""
        known = text in self.notes or len(self.notes) < MAX_REASONS
        self.notes[text if known else "other oddities"] += count

    def span(self, first: int, last: int) -> None:
        """Take calls from `first` to `last` into the time span."""
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)
