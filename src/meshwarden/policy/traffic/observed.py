"""Recorded calls, summed: how often each caller did the same at the same callee, and when.

Ten million calls are a few hundred combinations; all that follows works on these. What identifies
single calls (transactions, certificates) is not kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import InputError

MAX_COMBINATIONS: Final = 1_000_000
DAY_NS: Final = 86_400_000_000_000
_KEYS: Final = (
    "source", "destination", "protocol", "method", "route", "destination_port", "denied", "rule",
    "mtls",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Observed:
    """One combination, and its calls: `first` and `last` in nanoseconds since the epoch.

    Attributes:
        source: SPIFFE ID in text, `external:<host>` or `unknown`; so is `destination`.
        port: the destination's, of connections and of outside hosts; None where not recorded.
        days: the days (UTC, counted from the epoch) on which it was seen.
    """

    source: str
    destination: str
    protocol: str
    method: str | None
    route: str | None
    port: int | None
    denied: bool
    rule: str | None
    mtls: bool | None
    count: int = 0
    first: int = 0
    last: int = 0
    days: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """`caller -> callee what`: how findings and messages name it."""
        what = f"{self.method or '?'} {self.route}" if self.route else f"port {self.port}"
        return f"{self.source} -> {self.destination} {what}"


@dataclass(kw_only=True)
class Traffic:
    """Sums batches of calls.

    Attributes:
        since: calls before it (nanoseconds since the epoch) are passed over; None = none are.
        until: calls from then on are passed over.
        without: transactions whose calls are left out.
        calls: how many were taken in.
        left_out: how many had a transaction that is left out.
        first: time of the first that was taken in; 0 where there is none. `last` likewise.
    """

    since: int | None = None
    until: int | None = None
    without: frozenset[str] = frozenset()
    calls: int = 0
    left_out: int = 0
    first: int = 0
    last: int = 0
    _found: dict[tuple[Any, ...], Observed] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """Take in calls of CALL_SCHEMA; InputError `calls.too_varied` beyond MAX_COMBINATIONS."""
        table = self._chosen(table)
        if not table.num_rows:
            return
        time = table["time"].cast(pa.int64())
        keyed = table.select(_KEYS).append_column("time", time)
        keyed = keyed.append_column("day", pc.divide(time, DAY_NS))
        keyed = keyed.combine_chunks().unify_dictionaries()
        sums = keyed.group_by([*_KEYS, "day"], use_threads=False).aggregate(
            [("time", "count"), ("time", "min"), ("time", "max")]
        )
        columns = (*_KEYS, "day", "time_count", "time_min", "time_max")
        values = [
            (column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column).to_pylist()
            for column in (sums[name] for name in columns)
        ]
        for *key, day, count, first, last in zip(*values, strict=True):
            self._sum(tuple(key), day, count, first, last)

    def _chosen(self, table: pa.Table) -> pa.Table:
        time = table["time"].cast(pa.int64())
        if self.since is not None:
            table = table.filter(pc.greater_equal(time, self.since))
            time = table["time"].cast(pa.int64())
        if self.until is not None:
            table = table.filter(pc.less(time, self.until))
        if self.without:
            named = pc.is_in(table["transaction"], value_set=pa.array(sorted(self.without)))
            self.left_out += pc.sum(named).as_py() or 0
            table = table.filter(pc.invert(named))
        return table

    def _sum(self, key: tuple[Any, ...], day: int, count: int, first: int, last: int) -> None:
        seen = self._found.get(key)
        if seen is None:
            if len(self._found) >= MAX_COMBINATIONS:
                raise InputError(
                    "calls.too_varied",
                    f"more than {MAX_COMBINATIONS} combinations of caller, callee and route",
                    where="calls",
                    hint="are identifiers in routes replaced by {}?",
                )
            names = ("port" if name == "destination_port" else name for name in _KEYS)
            seen = self._found[key] = Observed(**dict(zip(names, key, strict=True)), first=first)
        seen.count += count
        seen.first, seen.last = min(seen.first, first), max(seen.last, last)
        seen.days.add(day)
        self.first = min(self.first or first, first)
        self.last = max(self.last, last)
        self.calls += count

    def observed(self) -> list[Observed]:
        """Return all combinations, in the order of their names."""
        return sorted(self._found.values(), key=_order)


def _order(seen: Observed) -> tuple[str, ...]:
    return (
        seen.destination, seen.source, seen.route or "", seen.method or "",
        str(seen.port), str(seen.denied), seen.rule or "", str(seen.mtls), seen.protocol,
    )  # fmt: skip


def total(observed: Iterable[Observed]) -> int:
    """Return how many calls they are."""
    return sum(seen.count for seen in observed)
