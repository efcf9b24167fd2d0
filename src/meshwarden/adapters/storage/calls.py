"""Reads calls: the record's parts, other Parquet files, CSV and gzipped CSV.

Whatever comes in leaves in `CALL_SCHEMA`, with the number that each row had in its source. Rows
that break the format are left out, counted by reason, and the first few are named; nothing is
guessed. Reading goes in batches of bounded size; `load_calls` puts them together.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from meshwarden.adapters.sources.lines import read_chunks
from meshwarden.adapters.sources.parties import IMPORTED_DOMAIN
from meshwarden.adapters.storage.calls_columns import COLUMNS, conform
from meshwarden.adapters.storage.calls_csv import read_rows
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
        foreign: whether these are no columns of our own, so that routes may be raw paths.
    """

    table: pa.Table
    numbers: pa.Array
    rejected: dict[str, list[int]]
    source: Path
    unknown: tuple[str, ...] = ()
    foreign: bool = False


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
        except (pa.ArrowInvalid, OSError) as error:
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
            numbers = pa.array(np.arange(first, first + table.num_rows))
            first += table.num_rows
            if own:
                yield CallBatch(table=table, numbers=numbers, rejected={}, source=path)
            else:
                yield _conformed(table, numbers, path, trust_domain, {})


def _csv(path: Path, trust_domain: str) -> Iterator[CallBatch]:
    with path.open("rb") as file:
        yield from read_csv(read_chunks(file), path, trust_domain=trust_domain)


def read_csv(
    chunks: Iterable[bytes], source: Path, *, trust_domain: str = IMPORTED_TRUST_DOMAIN
) -> Iterator[CallBatch]:
    """Return the calls of CSV that comes in `chunks`; `source` names it.

    InputError `calls.format` where it is no CSV of calls.
    """
    try:
        for rows in read_rows(chunks, source, require=lambda names: _require(names, source)):
            yield _conformed(rows.table, rows.numbers, source, trust_domain, rows.rejected)
    except (pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError("calls.format", f"cannot be read: {reason}", where=str(source)) from error


def _require(names: Sequence[str], source: Path) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise InputError(
            "calls.format",
            f"column {missing[0]!r} is missing",
            where=str(source),
            hint=f"at least {', '.join(_NEEDED)}",
        )
    twice = [name for name, times in Counter(names).items() if times > 1 and name in COLUMNS]
    if twice:
        raise InputError("calls.format", f"column {twice[0]!r} comes twice", where=str(source))


def _own(table: pa.Table, source: Path) -> CallBatch:
    numbers = pa.array(np.arange(table.num_rows))
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
        foreign=True,
    )
