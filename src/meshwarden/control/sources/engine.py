"""Reads the lines of one log into record batches, whatever is in them.

1. Blank lines are skipped, over-long ones set aside unheld.
2. The decoder of the log's format turns a line into rows; a line that breaks the format is tried
   as any other format where the format is `auto` (logs are mixed), else set aside.
3. A repeated line whose format gives records an id is a duplicate.
4. Raw paths become routes: the whole batch is learned before any of it is named.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from meshwarden.adapters.sources.columns import batch_of
from meshwarden.adapters.sources.lines import Block, TooLong
from meshwarden.adapters.sources.repeats import Repeats
from meshwarden.adapters.sources.row import Decoder, Row
from meshwarden.behaviour.routes import RouteLearner
from meshwarden.control.sources.formats import LINE_FORMATS
from meshwarden.control.sources.options import SourceOptions
from meshwarden.control.sources.order import Order
from meshwarden.control.sources.report import SetAside, SourceReport
from meshwarden.control.sources.sniff import format_of_line
from meshwarden.kernel import UNKNOWN, InputError

_KEPT_BYTES: Final = 2048


class LogEngine:
    """One log being read.

    Args:
        name: the file, for places.
        format_name: of `LINE_FORMATS`.
        mixed: whether lines of other formats are welcome.
        make: builds the decoder of a format, by name.
        options: bounds and receivers.
        report: grows.
        routes: shared by all logs of a run.
    """

    def __init__(
        self,
        *,
        name: str,
        format_name: str,
        mixed: bool,
        make: Callable[[str], Decoder],
        options: SourceOptions,
        report: SourceReport,
        routes: RouteLearner,
    ) -> None:
        self._name = name
        self.format_name = format_name
        self._mixed = mixed
        self._make = make
        self._decoders = {format_name: make(format_name)}
        self._options = options
        self._report = report
        self._routes = routes
        self._rows: list[Row] = []
        self._repeats = Repeats()
        self._order = Order()

    def feed(self, block: Block) -> Iterator[pa.RecordBatch]:
        """Read the lines of `block`; return the batches that it fills."""
        decode = self._decoders[self.format_name].decode
        rows, report, most = self._rows, self._report, self._options.batch_rows
        for at, line in enumerate(block.lines):
            if not line:
                continue
            if isinstance(line, TooLong):
                report.records += 1
                self._put_aside(block.first + at, f"longer than {self._max} bytes", line.head)
                continue
            try:
                found = decode(line)
            except InputError as error:
                other = self._otherwise(block.first + at, line, error.message)
                if other is None:
                    continue
                found = other
            report.records += 1
            if not found:
                report.quiet += 1
            elif found[0].get("id") is not None and self._repeats.known(line):
                self._put_aside(block.first + at, "duplicate", line)
            else:
                rows.extend(found)
                if len(rows) >= most:
                    yield self._batch()
                    rows = self._rows

    def flush(self) -> Iterator[pa.RecordBatch]:
        """Return what has been read and not been returned yet."""
        if self._rows:
            yield self._batch()

    def end(self) -> Iterator[pa.RecordBatch]:
        """Return the rest, and what waited for lines that never came."""
        for name, decoder in self._decoders.items():
            if LINE_FORMATS[name].joining is None:
                yield from self.add(decoder.finish())
        yield from self.flush()

    def add(self, rows: Sequence[Row]) -> Iterator[pa.RecordBatch]:
        """Take rows that came without a line of their own."""
        for first in range(0, len(rows), self._options.batch_rows):
            self._rows.extend(rows[first : first + self._options.batch_rows])
            if len(self._rows) >= self._options.batch_rows:
                yield self._batch()

    @property
    def _max(self) -> int:
        return LINE_FORMATS[self.format_name].max_line_bytes

    def _otherwise(self, number: int, line: bytes, reason: str) -> Sequence[Row] | None:
        """Return what another format makes of `line`; None where it was set aside or is blank."""
        if not line.strip():
            return None
        name = format_of_line(line) if self._mixed else None
        if name is not None and name != self.format_name:
            if name not in self._decoders:
                self._decoders[name] = self._make(name)
            try:
                found = self._decoders[name].decode(line)
            except InputError as error:
                reason = error.message
            else:
                self._report.note(f"lines of another format in a log of {self.format_name}: {name}")
                return found
        self._report.records += 1
        self._put_aside(number, reason, line)
        return None

    def _put_aside(self, number: int, reason: str, line: bytes) -> None:
        self._report.put_aside(reason)
        if self._options.rejected is not None:
            self._options.rejected(
                SetAside(
                    file=self._name,
                    where=f"line {number}",
                    reason=reason,
                    record=line[:_KEPT_BYTES],
                )
            )

    def _batch(self) -> pa.RecordBatch:
        rows, self._rows = self._rows, []
        self._name_routes(rows)
        batch = batch_of(rows)
        self._order.watch(batch, self._report)
        count(batch, self.format_name, self._report)
        return batch

    def _name_routes(self, rows: list[Row]) -> None:
        raw = [row for row in rows if row.get("path") is not None]
        pairs = [(row.get("destination", UNKNOWN), row["path"] or "") for row in raw]
        for row, route in zip(raw, self._routes.routes(pairs), strict=True):
            row["route"] = route


def count(batch: pa.RecordBatch, format_name: str, report: SourceReport) -> None:
    """Count `batch` in `report`."""
    if not batch.num_rows:
        return
    report.calls += batch.num_rows
    report.formats[format_name] += batch.num_rows
    span = pa.compute.min_max(batch.column("time").cast(pa.int64())).as_py()
    report.span(span["min"], span["max"])
    report.proven += batch.column("mtls").true_count
    unknown = [
        pa.compute.equal(batch.column(name).cast(pa.string()), UNKNOWN)
        for name in ("source", "destination")
    ]
    report.unnamed += pa.compute.or_(*unknown).true_count
