"""The calls of one Parquet file in the order of their times, in bounded memory.

A file that was put together from several logs is in no order of time, and may be larger than
memory. So only its times are sorted as a whole; calls are read span by span.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meshwarden.kernel import CALL_SCHEMA

_ROWS: Final = 524_288
_TIME: Final = CALL_SCHEMA.field("time").type


def read_by_time(path: Path, *, rows: int = _ROWS) -> Iterator[pa.Table]:
    """Return the calls of `path` (CALL_SCHEMA) by time; calls of one time as they stand there.

    Args:
        path: a file that `ParquetFile` wrote.
        rows: of each table; more where more calls have the very same time.
    """
    times = np.sort(np.asarray(pq.read_table(path, columns=["time"])["time"].cast(pa.int64())))
    if not len(times):
        return
    begins = [*np.unique(times[::rows]).tolist(), int(times[-1]) + 1]
    for begin, end in pairwise(begins):
        within = (pc.field("time") >= pa.scalar(begin, _TIME)) & (
            pc.field("time") < pa.scalar(end, _TIME)
        )
        found = pq.read_table(path, filters=within).cast(CALL_SCHEMA)
        order = np.argsort(np.asarray(found["time"].cast(pa.int64())), kind="stable")
        yield found.take(pa.array(order))
