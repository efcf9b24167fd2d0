"""Reads calls: the record's parts, other Parquet files, CSV and gzipped CSV.

Whatever comes in leaves in `CALL_SCHEMA`, with the number that each row had in its source. Rows
that break the format are left out, counted by reason, and the first few are named; nothing is
guessed. Reading goes in batches of bounded size; `load_calls` puts them together.
"""

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from meshwarden.adapters.sources.parties import IMPORTED_DOMAIN
from meshwarden.adapters.storage.calls_columns import COLUMNS, conform
from meshwarden.adapters.storage.parts import Part, list_parts
from meshwarden.kernel import CALL_SCHEMA, InputError

IMPORTED_TRUST_DOMAIN: Final = IMPORTED_DOMAIN
_BATCH_ROWS: Final = 65_536
_SHOWN: Final = 10
_KEPT_PARTS: Final = 10_000  # a merge of the writer reaches back by less
_TRIES: Final = 3
_NEEDED: Final = ("time", "source", "destination")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBatch:
    """Some calls of one source.

    Attributes:
        table: of CALL_SCHEMA.
        numbers: int64, the 0-based number of each row in its source.
        rejected: numbers of rows that were left out, by reason.
        source: the file.
        unknown: columns of the file that no call has; they were not read.
    """

    table: pa.Table
    numbers: pa.Array
    rejected: dict[str, list[int]]
    source: Path
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCalls:
    """All calls of some sources.

    Attributes:
        table: of CALL_SCHEMA.
        numbers: int64, the 0-based number of each row in its source.
        rejected: how many rows were left out, by reason.
        examples: the first of them: `file, row N: reason`.
    """

    table: pa.Table
    numbers: pa.ChunkedArray
    rejected: dict[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()


def load_calls(
    paths: Sequence[Path],
    *,
    trust_domain: str = IMPORTED_TRUST_DOMAIN,
    max_rows: int = 50_000_000,
) -> LoadedCalls:
    """Return the calls of all `paths`, in their order.

    Args:
        paths: files (`.parquet`, `.csv`, `.csv.gz`) and folders of parts.
        trust_domain: for names that are no SPIFFE ID: `spiffe://<trust_domain>/<name>`.
        max_rows: more is refused.

    Raises:
        InputError: `calls.missing`, `calls.format` (unknown or broken format, column missing),
            `calls.too_many`.
    """
    tables, numbers, examples = [CALL_SCHEMA.empty_table()], [], []
    rejected: Counter[str] = Counter()
    total = 0
    for batch in read_calls(paths, trust_domain=trust_domain):
        tables.append(batch.table)
        numbers.append(batch.numbers)
        for reason, rows in batch.rejected.items():
            rejected[reason] += len(rows)
            examples += [f"{batch.source}, row {row}: {reason}" for row in rows[:_SHOWN]]
        total += batch.table.num_rows
        if total > max_rows:
            raise InputError(
                "calls.too_many", f"more than {max_rows} calls", where=str(batch.source)
            )
    return LoadedCalls(
        table=pa.concat_tables(tables).unify_dictionaries(),
        numbers=pa.chunked_array(numbers, pa.int64()),
        rejected=dict(rejected),
        examples=tuple(examples[:_SHOWN]),
    )


def read_calls(
    paths: Sequence[Path], *, trust_domain: str = IMPORTED_TRUST_DOMAIN
) -> Iterator[CallBatch]:
    """Return the calls of all `paths` in batches; arguments and errors as for `load_calls`."""
    for path in paths:
        try:
            if path.is_dir():
                yield from _folder(path, [])
            elif path.name.endswith(".parquet"):
                yield from _parquet(path, trust_domain)
            elif path.name.endswith((".csv", ".csv.gz")):
                yield from _csv(path, trust_domain)
            else:
                raise InputError(
                    "calls.format",
                    "not a known format of calls",
                    where=str(path),
                    hint="known: .parquet, .csv, .csv.gz, or a state's folder of calls",
                )
        except FileNotFoundError as error:
            raise InputError("calls.missing", "no such file", where=str(path)) from error
        except (pa.ArrowInvalid, OSError, EOFError, zlib.error) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                "calls.format", f"cannot be read: {reason}", where=str(path)
            ) from error


def follow_record(folder: Path) -> Iterator[CallBatch | None]:
    """Return the calls recorded in `folder`, and those that will be; None: nothing new just now.

    It never ends by itself. Errors as for `load_calls`.
    """
    read: list[tuple[Part, int]] = []
    while True:
        try:
            yield from _folder(folder, read)
        except (pa.ArrowInvalid, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                "calls.format", f"cannot be read: {reason}", where=str(folder)
            ) from error
        del read[:-_KEPT_PARTS]
        yield None


def _folder(folder: Path, read: list[tuple[Part, int]]) -> Iterator[CallBatch]:
    """Read a record while its writer goes on: parts may be merged under the reader's hands.

    A merged part holds the rows of its parts in their order, so what was read already is skipped.
    """
    tries = 0
    while (part := _next_part(folder, read)) is not None:
        try:
            table = pq.read_table(part.path, schema=CALL_SCHEMA)
        except FileNotFoundError:
            tries += 1
            if tries > _TRIES:
                raise
            continue
        known = sum(rows for earlier, rows in read if earlier.first >= part.first)
        read.append((part, table.num_rows - known))
        yield _own(table.slice(known), part.path)


def _next_part(folder: Path, read: list[tuple[Part, int]]) -> Part | None:
    done = read[-1][0].last if read else 0
    return next((part for part in list_parts(folder) if part.last > done), None)


def _parquet(path: Path, trust_domain: str) -> Iterator[CallBatch]:
    with pq.ParquetFile(path) as file:
        own = file.schema_arrow.remove_metadata().equals(CALL_SCHEMA)
        _require(file.schema_arrow.names, path)
        first = 0
        for batch in file.iter_batches(_BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            numbers = pa.array(range(first, first + table.num_rows), pa.int64())
            first += table.num_rows
            if own:
                yield CallBatch(table=table, numbers=numbers, rejected={}, source=path)
            else:
                yield _conformed(table, numbers, path, trust_domain, {})


def _csv(path: Path, trust_domain: str) -> Iterator[CallBatch]:
    if path.name.endswith(".gz"):
        with gzip.open(path) as packed, io.BufferedReader(packed) as file:
            yield from _csv_rows(file, path, trust_domain)
    else:
        with path.open("rb") as file:
            yield from _csv_rows(file, path, trust_domain)


def read_csv(
    chunks: Iterable[bytes], source: Path, *, trust_domain: str = IMPORTED_TRUST_DOMAIN
) -> Iterator[CallBatch]:
    """Return the calls of CSV that comes in `chunks`; `source` names it.

    InputError `calls.format` where it is no CSV of calls.
    """
    try:
        yield from _csv_rows(io.BufferedReader(_Chunks(chunks)), source, trust_domain)
    except (pa.ArrowInvalid, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError("calls.format", f"cannot be read: {reason}", where=str(source)) from error


class _Peeking(Protocol):
    """A file that shows what comes next."""

    def readline(self, size: int, /) -> bytes: ...

    def peek(self, size: int, /) -> bytes: ...


class _Chunks(io.RawIOBase):
    """Chunks of octets as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # as RawIOBase has it
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken


def _csv_rows(file: _Peeking, path: Path, trust_domain: str) -> Iterator[CallBatch]:
    broken: list[int] = []

    def note(row: pa_csv.InvalidRow) -> str:
        broken.append(row.number - 1)  # counted from 1; the header is read before
        return "skip"

    names = _header(file, path)
    _require(names, path)
    reader = _csv_reader(file, names, note)
    first = 0
    for batch in reader:
        table = pa.Table.from_batches([batch])
        candidates = np.arange(first, first + table.num_rows + len(broken))
        numbers = np.setdiff1d(candidates, broken, assume_unique=True)[: table.num_rows]
        last = int(numbers[-1]) + 1 if len(numbers) else first
        passed = [row for row in broken if row < last]
        broken[:] = [row for row in broken if row >= last]
        first = last
        columns = {"wrong number of columns": passed} if passed else {}
        yield _conformed(table, pa.array(numbers), path, trust_domain, columns)
    if broken:
        empty = CALL_SCHEMA.empty_table()
        rejected = {"wrong number of columns": list(broken)}
        yield CallBatch(
            table=empty, numbers=pa.array([], pa.int64()), rejected=rejected, source=path
        )


def _csv_reader(
    file: _Peeking, names: list[str], note: Callable[[pa_csv.InvalidRow], str]
) -> Iterable[pa.RecordBatch]:
    """Return the batches after the header; none where there are no rows."""
    if not file.peek(1):
        return ()
    reader: Iterable[pa.RecordBatch] = pa_csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=pa_csv.ReadOptions(use_threads=False, column_names=names),
        parse_options=pa_csv.ParseOptions(invalid_row_handler=note),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    return reader


def _header(file: _Peeking, path: Path) -> list[str]:
    line = file.readline(65_536)
    try:
        return [name.strip().strip('"') for name in line.decode("utf-8-sig").strip().split(",")]
    except UnicodeDecodeError as error:
        raise InputError("calls.format", "the header is no UTF-8", where=str(path)) from error


def _require(names: Sequence[str], path: Path) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise InputError(
            "calls.format",
            f"column {missing[0]!r} is missing",
            where=str(path),
            hint=f"at least {', '.join(_NEEDED)}",
        )


def _own(table: pa.Table, source: Path) -> CallBatch:
    numbers = pa.array(range(table.num_rows), pa.int64())
    return CallBatch(
        table=table.replace_schema_metadata(None), numbers=numbers, rejected={}, source=source
    )


def _conformed(
    table: pa.Table, numbers: pa.Array, path: Path, trust_domain: str, broken: dict[str, list[int]]
) -> CallBatch:
    good = conform(table, numbers, trust_domain=trust_domain)
    return CallBatch(
        table=good.table,
        numbers=good.numbers.cast(pa.int64()),
        rejected=broken | good.rejected,
        source=path,
        unknown=tuple(name for name in table.column_names if name not in COLUMNS),
    )
