"""How customers fared while an incident lasted: what the edges' calls in the record say."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import EXTERNAL

_FAILED: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Customers:
    """Requests from outside, and how many of them the mesh did not serve (status 5xx, or none)."""

    requests: int
    failures: int

    def __str__(self) -> str:
        return f"{self.failures} of {self.requests} customers' requests failed since the first sign"


def customers_in(calls: pa.Table, edges: Collection[str], *, since: int) -> Customers:
    """Return how those who called from outside have fared.

    Args:
        calls: of `CALL_SCHEMA`.
        edges: SPIFFE IDs of the services that take traffic from outside.
        since: nanoseconds since the epoch, UTC.
    """
    arrived = pc.is_in(calls["destination"].cast(pa.string()), pa.array(sorted(edges), pa.string()))
    outside = pc.starts_with(calls["source"].cast(pa.string()), EXTERNAL)
    recent = pc.greater_equal(calls["time"].cast(pa.int64()), since)
    served = calls.filter(pc.and_(pc.and_(arrived, outside), recent))
    served = served.filter(pc.invert(served["denied"]))  # what policy refuses is no failure
    failed = pc.greater_equal(pc.fill_null(served["status"], _FAILED), _FAILED)
    return Customers(requests=served.num_rows, failures=pc.sum(failed).as_py() or 0)
