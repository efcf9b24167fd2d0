"""Whether time runs on in a log, as it should."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.control.sources.report import SourceReport

_SECOND: Final = 1_000_000_000
LATE_NS: Final = 10 * _SECOND
BACK_NS: Final = 3600 * _SECOND


class Order:
    """Watches the ends of the calls of one file, which a log writes in their order."""

    def __init__(self) -> None:
        self._latest = 0

    def watch(self, batch: pa.RecordBatch | pa.Table, report: SourceReport) -> None:
        """Note calls that are late, and a clock that went back, in `report`."""
        if not batch.num_rows:
            return
        starts = np.asarray(batch.column("time").cast(pa.int64()))
        spans = np.asarray(pc.fill_null(batch.column("duration").cast(pa.int64()), 0))
        ends = starts + spans
        latest = np.maximum.accumulate(np.maximum(ends, self._latest))
        behind = latest - ends
        back = int((behind > BACK_NS).sum())
        late = int((behind > LATE_NS).sum()) - back
        if late:
            report.note("calls that came more than 10 seconds late (kept)", late)
        if back:
            report.note("calls more than an hour behind earlier ones: clock or order (kept)", back)
        self._latest = int(latest[-1])
