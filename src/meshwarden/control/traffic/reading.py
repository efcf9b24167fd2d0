"""Reads recorded calls and sums them, batch by batch, so that memory stays small.

What cannot be read as a call is counted and named; it is never a reason to call a policy good.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.storage.calls import read_calls
from meshwarden.kernel import InputError
from meshwarden.policy.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """When the calls that were read began, in nanoseconds since the epoch: first and last."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTraffic:
    """The calls of some files, summed; `rejected` counts rows left out, by reason."""

    traffic: Traffic
    rejected: Counter[str] = field(default_factory=Counter)

    def require_calls(self) -> None:
        """Raise InputError `calls.none` where there is no call: nothing may be concluded of it."""
        if not self.traffic.calls:
            raise InputError(
                "calls.none",
                "no call could be read",
                where="--calls",
                hint="without calls nothing is known of what a policy would refuse, or is used",
            )


def read_traffic(paths: Sequence[Path], traffic: Traffic | None = None) -> ReadTraffic:
    """Return the calls in `paths` (Parquet, CSV, gzipped CSV, folders of parts).

    Args:
        paths: at least one.
        traffic: what to add them to, with its choice of calls; all calls where None.

    Raises:
        InputError: as `load_calls`; `calls.missing` where no path is given.
    """
    _require(paths)
    found = ReadTraffic(traffic=traffic or Traffic())
    for batch in read_calls(paths):
        found.rejected.update({why: len(rows) for why, rows in batch.rejected.items()})
        found.traffic.add(batch.table)
    return found


def read_period(paths: Sequence[Path]) -> Period | None:
    """Return when the calls in `paths` began; None where there are none."""
    _require(paths)
    firsts: list[int] = []
    lasts: list[int] = []
    for batch in read_calls(paths):
        ends = pc.min_max(batch.table["time"].cast(pa.int64())).as_py()
        if ends["min"] is not None:
            firsts.append(ends["min"])
            lasts.append(ends["max"])
    return Period(first=min(firsts), last=max(lasts)) if firsts else None


def _require(paths: Sequence[Path]) -> None:
    if not paths:
        raise InputError("calls.missing", "no calls are named", where="--calls")
