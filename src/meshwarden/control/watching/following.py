"""Watches a source that goes on: scores each batch as it comes, tells findings, keeps the state.

The source is read no faster than it is scored: what waits, waits in the log itself.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import pyarrow as pa

from meshwarden.adapters.storage.calls import follow_record
from meshwarden.control.watching.scoring_model import ScoringModel
from meshwarden.kernel import Finding

LOOK_S: Final = 0.1
SAVE_S: Final = 60.0


@dataclass(slots=True)
class Followed:
    """How far a source was followed."""

    calls: int = 0
    findings: int = 0


def watch_batches(
    batches: Iterable[pa.Table | pa.RecordBatch],
    model: ScoringModel,
    *,
    tell: Callable[[Finding], None],
    keep: Callable[[bytes], None],
) -> Followed:
    """Score `batches` (CALL_SCHEMA) until they end; `keep` takes the state now and then."""
    followed = Followed()
    saved_at = monotonic()
    for batch in batches:
        scored = model.observe(pa.table(batch))
        followed.calls += batch.num_rows
        followed.findings += len(scored.findings)
        for finding in scored.findings:
            tell(finding)
        if monotonic() - saved_at >= SAVE_S:
            keep(model.save())
            saved_at = monotonic()
    if followed.calls:
        keep(model.save())
    return followed


def recorded(folder: Path, stop: threading.Event) -> Iterator[pa.Table]:
    """Return what is recorded in `folder`, and what will be, until `stop` is set."""
    for batch in follow_record(folder):
        if batch is not None:
            yield batch.table
        elif stop.wait(LOOK_S):
            return
