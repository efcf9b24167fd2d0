"""CSV and Parquet with the columns of `Call`: read by `adapters.storage`, counted here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from meshwarden.adapters.sources.lines import LineCutter, TooLong
from meshwarden.adapters.sources.parties import IMPORTED_DOMAIN
from meshwarden.adapters.sources.row import CLUSTER_DOMAIN, MAX_LINE_BYTES
from meshwarden.adapters.storage.calls import CallBatch, read_calls, read_csv
from meshwarden.control.sources.engine import count
from meshwarden.control.sources.options import SourceOptions
from meshwarden.control.sources.order import Order
from meshwarden.control.sources.report import SetAside, SourceReport
from meshwarden.kernel import CALL_SCHEMA

_BROKEN: Final = b"\x1a"  # one column, which no table of calls has: counted as a broken row


def read_columns(
    path: Path, chunks: Iterator[bytes] | None, options: SourceOptions, report: SourceReport
) -> Iterator[pa.RecordBatch]:
    """Return the calls of a CSV stream (`chunks`), or of a Parquet file or folder of parts (None).

    InputError `calls.format` where a needed column is missing or the file is no Parquet.
    """
    domain = options.trust_domain if options.trust_domain != CLUSTER_DOMAIN else IMPORTED_DOMAIN
    order = Order()
    if chunks is None:
        batches, name = read_calls([path], trust_domain=domain), "parquet"
    else:
        batches, name = read_csv(_sound(chunks), path, trust_domain=domain), "csv"
    unknown: set[str] = set()
    for batch in batches:
        for column in batch.unknown:
            if column not in unknown:
                report.note(f"column {column:.40} is none of a call's: not read")
        unknown.update(batch.unknown)
        _count_rejected(batch, options, report)
        report.records += batch.table.num_rows
        for part in batch.table.cast(CALL_SCHEMA).combine_chunks().to_batches(options.batch_rows):
            order.watch(part, report)
            count(part, name, report)
            yield part


def _count_rejected(batch: CallBatch, options: SourceOptions, report: SourceReport) -> None:
    for reason, rows in batch.rejected.items():
        report.records += len(rows)
        report.put_aside(reason, len(rows))
        if options.rejected is not None:
            for row in rows:
                options.rejected(
                    SetAside(file=str(batch.source), where=f"row {row}", reason=reason)
                )


def _sound(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the lines of `chunks` such that no single one can stop the reading of a table."""
    cutter = LineCutter(max_line_bytes=MAX_LINE_BYTES)
    for chunk in chunks:
        lines = cutter.cut(chunk).lines
        if lines:
            yield b"\n".join([*(_sound_line(line) for line in lines), b""])
    last = cutter.end().lines
    if last:
        yield _sound_line(last[0]) + b"\n"


def _sound_line(line: bytes | TooLong) -> bytes:
    if isinstance(line, TooLong):
        return _BROKEN
    try:
        line.decode()
    except UnicodeDecodeError:
        return _BROKEN
    return line
