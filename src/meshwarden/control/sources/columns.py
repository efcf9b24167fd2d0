"""CSV and Parquet with the columns of `Call`: read by `adapters.storage`, counted here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from meshwarden.adapters.sources.parties import IMPORTED_DOMAIN
from meshwarden.adapters.sources.row import CLUSTER_DOMAIN
from meshwarden.adapters.storage.calls import CallBatch, read_calls, read_csv
from meshwarden.behaviour.routes import RouteLearner
from meshwarden.control.sources.engine import count
from meshwarden.control.sources.options import SourceOptions
from meshwarden.control.sources.order import Order
from meshwarden.control.sources.raw_routes import by_form, name_routes
from meshwarden.control.sources.report import SetAside, SourceReport
from meshwarden.kernel import CALL_SCHEMA


def read_columns(
    path: Path,
    chunks: Iterator[bytes] | None,
    options: SourceOptions,
    report: SourceReport,
    routes: RouteLearner,
) -> Iterator[pa.RecordBatch]:
    """Return the calls of a CSV stream (`chunks`), or of a Parquet file or folder of parts (None).

    What is still a raw path is learned, and named, by `routes`.

    InputError `calls.format` where a needed column is missing or the file is no Parquet.
    """
    domain = options.trust_domain if options.trust_domain != CLUSTER_DOMAIN else IMPORTED_DOMAIN
    if chunks is None:
        batches, name = read_calls([path], trust_domain=domain), "parquet"
    else:
        batches, name = read_csv(chunks, path, trust_domain=domain), "csv"
    for batch in _counted(batches, report, options.rejected):
        table = name_routes(batch, routes.routes_of).table.cast(CALL_SCHEMA).combine_chunks()
        for part in table.to_batches(options.batch_rows):
            count(part, name, report)
            yield part


def read_counted(paths: Sequence[Path], report: SourceReport) -> Iterator[CallBatch]:
    """Return the calls of all `paths` as `read_calls` does, and count what is odd about them.

    Raw paths become routes by form alone: what use tells may differ from run to run, and a baseline
    of one is there to be compared with another.
    """
    for path in paths:
        for batch in _counted(read_calls([path]), report):
            yield name_routes(batch, by_form)


def _counted(
    batches: Iterable[CallBatch],
    report: SourceReport,
    rejected: Callable[[SetAside], None] | None = None,
) -> Iterator[CallBatch]:
    """Return the batches of one file, having counted what was left out and what is odd."""
    order = Order()
    unknown: set[str] = set()
    for batch in batches:
        for column in batch.unknown:
            if column not in unknown:
                report.note(f"column {column:.40} is none of a call's: not read")
        unknown.update(batch.unknown)
        _count_rejected(batch, report, rejected)
        report.records += batch.table.num_rows
        order.watch(batch.table, report)
        yield batch


def _count_rejected(
    batch: CallBatch, report: SourceReport, rejected: Callable[[SetAside], None] | None
) -> None:
    for reason, rows in batch.rejected.items():
        report.records += len(rows)
        report.put_aside(reason, len(rows))
        if rejected is not None:
            for row in rows:
                rejected(SetAside(file=str(batch.source), where=f"row {row}", reason=reason))
