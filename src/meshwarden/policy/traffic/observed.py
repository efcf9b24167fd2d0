"""Recorded calls, summed: how often each caller did the same at the same callee, and when.

Ten million calls are a few hundred combinations; all that follows works on these. What identifies
single calls (transactions, certificates) is not kept.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import InputError, SpiffeId

MAX_COMBINATIONS: Final = 1_000_000
DAY_NS: Final = 86_400_000_000_000
_KEYS: Final = (
    "source", "destination", "protocol", "method", "route", "destination_port", "denied", "rule",
    "mtls",
)  # fmt: skip


_FIELDS: Final = tuple("port" if name == "destination_port" else name for name in _KEYS)
_PENDING_ROWS: Final = 250_000


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


@dataclass(slots=True, kw_only=True)
class Support:
    """How often something was seen, and when: nanoseconds since the epoch, days since then."""

    count: int = 0
    first: int = 0
    last: int = 0
    days: set[int] = field(default_factory=set)

    def add(self, other: "Observed | Support") -> None:
        """Take in the calls of `other`."""
        self.first = min(self.first or other.first, other.first)
        self.last = max(self.last, other.last)
        self.count += other.count
        self.days |= other.days


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
    _sums: list[pa.Table] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        """Take in calls of CALL_SCHEMA; InputError `calls.too_varied` beyond MAX_COMBINATIONS."""
        table = self._chosen(table)
        if not table.num_rows:
            return
        time = table["time"].cast(pa.int64())
        keyed = table.select(_KEYS).append_column("day", pc.divide(time, DAY_NS))
        keyed = keyed.append_column("first", time).append_column("last", time)
        keyed = keyed.append_column("count", pa.array(np.ones(table.num_rows, dtype=np.int64)))
        span = pc.min_max(time).as_py()
        self.first = span["min"] if not self.calls else min(self.first, span["min"])
        self.last = span["max"] if not self.calls else max(self.last, span["max"])
        self.calls += table.num_rows
        self._sums.append(_summed([keyed]))
        if sum(each.num_rows for each in self._sums) > _PENDING_ROWS:
            self._compact()

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

    def _compact(self) -> None:
        """Sum what was summed batch by batch; the dictionaries of batches differ."""
        if self._sums:
            self._sums = [_summed(self._sums)]
            if self._sums[0].num_rows > MAX_COMBINATIONS:
                raise InputError(
                    "calls.too_varied",
                    f"more than {MAX_COMBINATIONS} combinations of caller, callee, route and day",
                    where="calls",
                    hint="are identifiers in routes replaced by {}?",
                )

    def observed(self) -> list[Observed]:
        """Return all combinations, in the order of their names; errors as for `add`."""
        self._compact()
        found: dict[tuple[Any, ...], Observed] = {}
        for table in self._sums:
            columns = [_plain(table[name]) for name in (*_KEYS, "day", "count", "first", "last")]
            for *key, day, count, first, last in zip(*columns, strict=True):
                seen = found.get(tuple(key))
                if seen is None:
                    names = dict(zip(_FIELDS, key, strict=True))
                    seen = found[tuple(key)] = Observed(**names, first=first)
                seen.count += count
                seen.first, seen.last = min(seen.first, first), max(seen.last, last)
                seen.days.add(day)
        return sorted(found.values(), key=_order)


def _summed(tables: list[pa.Table]) -> pa.Table:
    """Return one row for each combination and day."""
    joined = pa.concat_tables(tables).combine_chunks().unify_dictionaries()
    sums = joined.group_by([*_KEYS, "day"], use_threads=False).aggregate(
        [("count", "sum"), ("first", "min"), ("last", "max")]
    )
    return sums.select([*_KEYS, "day", "count_sum", "first_min", "last_max"]).rename_columns(
        [*_KEYS, "day", "count", "first", "last"]
    )


def _plain(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    values: list[Any] = (
        column.cast(pa.string()) if pa.types.is_dictionary(kind) else column
    ).to_pylist()
    return values


def _order(seen: Observed) -> tuple[str, ...]:
    return (
        seen.destination, seen.source, seen.route or "", seen.method or "",
        str(seen.port), str(seen.denied), seen.rule or "", str(seen.mtls), seen.protocol,
    )  # fmt: skip


@lru_cache(maxsize=65_536)
def spiffe_id(party: str) -> SpiffeId | None:
    """Return the identity of a recorded party; None for `unknown` and outside ones."""
    try:
        return SpiffeId.parse(party)
    except InputError:
        return None
