"""Sums over recorded calls, batch by batch, in bounded memory."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.control.recording.figures import allowed_inside

_STEP: Final = np.log(1.05)  # durations are counted in classes 5 % wide
_SHOWN: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What all calls together say.

    Attributes:
        calls: how many.
        refused: how many policy refused.
        first: start of the earliest, nanoseconds since the epoch.
        last: start of the latest.
        mutual_tls: allowed calls into services of the mesh, but for edges, under mutual TLS.
        allowed_in_mesh: all those calls, as the callees' sidecars reported them.
        protocols: calls by protocol.
        refused_by: refused calls by rule, most first.
        services: calls and refusals by destination, most first.
        durations: calls by class of duration.
    """

    calls: int
    refused: int
    first: int | None
    last: int | None
    mutual_tls: int
    allowed_in_mesh: int
    protocols: dict[str, int]
    refused_by: dict[str, int]
    services: dict[str, dict[str, int]]
    durations: dict[int, int]

    @property
    def mtls_share(self) -> float | None:
        """Share of `allowed_in_mesh` under mutual TLS; None without such calls."""
        return self.mutual_tls / self.allowed_in_mesh if self.allowed_in_mesh else None

    def quantile(self, share: float) -> int | None:
        """Return the duration, in nanoseconds and within 5 %, that `share` of calls stay below."""
        wanted = share * sum(self.durations.values())
        for index in sorted(self.durations):
            wanted -= self.durations[index]
            if wanted <= 0:
                return int(np.exp((index + 0.5) * _STEP))
        return None


def summarize(batches: Iterable[pa.Table]) -> Summary:
    """Return the sums of all calls in `batches` (of CALL_SCHEMA)."""
    sums: Counter[str] = Counter()
    protocols: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    services: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    durations: Counter[int] = Counter()
    first: int | None = None
    last: int | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        times = pc.min_max(batch["time"].cast(pa.int64())).as_py()
        first = times["min"] if first is None else min(first, times["min"])
        last = times["max"] if last is None else max(last, times["max"])
        denied = batch.filter(batch["denied"])
        inside = batch.filter(allowed_inside(batch))
        sums["calls"] += batch.num_rows
        sums["refused"] += denied.num_rows
        sums["inside"] += inside.num_rows
        sums["mutual"] += pc.sum(inside["mtls"].cast(pa.int64())).as_py() or 0
        protocols.update(_counts(batch["protocol"]))
        rules.update(_counts(denied["rule"]))
        services.update(_counts(batch["destination"]))
        refusals.update(_counts(denied["destination"]))
        durations.update(_classes(batch["duration"]))
    return Summary(
        calls=sums["calls"],
        refused=sums["refused"],
        first=first,
        last=last,
        mutual_tls=sums["mutual"],
        allowed_in_mesh=sums["inside"],
        protocols=dict(protocols.most_common()),
        refused_by=dict(rules.most_common(_SHOWN)),
        services={
            name: {"calls": calls, "refused": refusals[name]}
            for name, calls in services.most_common(_SHOWN)
        },
        durations=dict(durations),
    )


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    found: list[dict[str, Any]] = column.cast(pa.string()).value_counts().to_pylist()
    return {row["values"] or "unnamed": row["counts"] for row in found}


def _classes(column: pa.ChunkedArray) -> dict[int, int]:
    known = np.asarray(column.drop_null().cast(pa.int64()))
    classes = (np.log(np.maximum(known, 1)) / _STEP).astype(np.int64)
    values, counts = np.unique(classes, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
