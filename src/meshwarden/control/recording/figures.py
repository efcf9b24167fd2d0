"""Counters of the record: totals that survive restarts, and the snapshot that others look at."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import EXTERNAL

_LAYERS: Final = frozenset(
    {
        "token", "containment", "tls", "egress", "http", "edge", "authorizer", "default-deny",
        "unclean_path",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Since the record began; stored in each checkpoint.

    Attributes:
        calls: recorded calls.
        denied: those refused.
        allowed_in_mesh: allowed calls to a service of the mesh, as its own sidecar reported them,
            but for those that came in at an edge.
        mutual_tls: those of `allowed_in_mesh` whose both sides proved who they are.
        rejected_lines: lines that broke the format and were kept aside.
        skipped_bytes: octets of log that were given up because the flood was too large.
        restarted_logs: logs that somebody else replaced or cut.
        dropped_calls: recorded calls that the bound of the record pushed out.
    """

    calls: int = 0
    denied: int = 0
    allowed_in_mesh: int = 0
    mutual_tls: int = 0
    rejected_lines: int = 0
    skipped_bytes: int = 0
    restarted_logs: int = 0
    dropped_calls: int = 0

    def count(self, calls: pa.Table) -> "Totals":
        """Return the totals with `calls` (CALL_SCHEMA) counted in."""
        inside = allowed_inside(calls)
        mutual = pc.and_kleene(inside, calls["mtls"])
        return replace(
            self,
            calls=self.calls + calls.num_rows,
            denied=self.denied + _true(calls["denied"]),
            allowed_in_mesh=self.allowed_in_mesh + _true(inside),
            mutual_tls=self.mutual_tls + _true(mutual),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the recorder knows at one moment.

    Attributes:
        totals: since the record began.
        rate_per_s: calls per second over the last seconds.
        held: callers' reports that wait for the callee's.
        late: callees' reports that came too late to be recorded.
        evicted: what the merge gave up early because a bound was reached.
        behind_bytes: octets of log that are not read yet.
        trouble: what cannot be done at the moment: to write the record, to tidy it, to read or
            rotate a log; what has failed longest, None where all is well.
        refused: refused calls since the recorder started, by what refused them (`refused_by`).
    """

    totals: Totals
    rate_per_s: float
    held: int
    late: int
    evicted: int
    behind_bytes: int
    trouble: str | None
    refused: Mapping[str, int] = field(default_factory=dict)

    @property
    def mtls_share(self) -> float | None:
        """Share of the allowed calls inside the mesh under mutual TLS; None without calls."""
        inside = self.totals.allowed_in_mesh
        return self.totals.mutual_tls / inside if inside else None


def allowed_inside(calls: pa.Table) -> pa.ChunkedArray:
    """Return which of `calls` were allowed, inside the mesh, as the callees' sidecars told."""
    outside = pc.starts_with(calls["source"].cast(pa.string()), EXTERNAL)
    told = pc.equal(calls["reporter"].cast(pa.string()), "destination")
    return pc.and_(pc.and_(pc.invert(calls["denied"]), told), pc.invert(outside))


def _true(found: pa.ChunkedArray) -> int:
    return pc.sum(found.cast(pa.int64())).as_py() or 0


def refused_by(calls: pa.Table) -> Counter[str]:
    """Return how many of `calls` were refused, by what: our own layers, or a rule of the policy.

    A rule of the policy's own naming counts as `policy`, so that there are few: `token` (a wrong
    one), `containment`, `tls`, `egress`, `http`, `edge`, `authorizer`, `default-deny`.
    """
    denied = calls.filter(calls["denied"])
    rules = denied["rule"].cast(pa.string()).fill_null("").value_counts().to_pylist()
    found: Counter[str] = Counter()
    for row in rules:
        layer = row["values"].partition(":")[0]
        found[layer if layer in _LAYERS else "policy"] += row["counts"]
    return found
