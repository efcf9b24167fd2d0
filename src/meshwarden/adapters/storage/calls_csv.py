"""CSV of calls into raw columns, whatever is in it.

A line that would stop the parser, or lead it beyond its end, gives way to a mark of one column: the
parser refuses that as a row, and so it is counted in its place, with the reason.

No field of a call holds a line break. Where a quote is open at a line's end, and the next lines (of
64 KiB in all) make it a proper row of as many columns as there should be, all of them are one row,
and set aside: what somebody wrote into a field never becomes a row. Otherwise the quote is a stray
one, and its line alone is set aside.
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from meshwarden.adapters.sources.lines import DamagedError
from meshwarden.adapters.sources.row import MAX_LINE_BYTES
from meshwarden.kernel import InputError

_MARK: Final = b"\x1a"
_COLUMNS: Final = "wrong number of columns"
_BREAK: Final = "a line break within a field"
_FIELD: Final = rb'(?:"[^"]*(?:""[^"]*)*"(?!")[^,\n]*|(?!")[^,\n]*)'  # quotes count at its start
_PROPER: Final = rb'(?:"[^"]*(?:""[^"]*)*"|[^",\n]*)'
_LINE: Final = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*")
_BEFORE_A_QUOTE: Final = np.frombuffer(b'\n,"', np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRows:
    """Some rows: columns of text, their 0-based numbers, and those that are none, by reason."""

    table: pa.Table
    numbers: pa.Array
    rejected: dict[str, list[int]]


def read_rows(
    chunks: Iterable[bytes], source: Path, *, require: Callable[[Sequence[str]], None]
) -> Iterator[RawRows]:
    """Return the rows of CSV that comes in `chunks`.

    Where these end with a DamagedError, what was cut off is one rejected row.

    Args:
        chunks: the octets.
        source: names them.
        require: raises where the names of the columns will not do.

    Raises:
        InputError: `calls.format`, the header cannot be read; what `require` raises.
    """
    file = io.BufferedReader(_Chunks(_sound(chunks)))
    names = _header(file, source)
    require(names)
    broken: list[tuple[int, str]] = []

    def note(row: pa_csv.InvalidRow) -> str:
        mark = _MARK.decode()
        reason = row.text.removeprefix(mark) if row.text.startswith(mark) else _COLUMNS
        broken.append((row.number - 1, reason))  # counted from 1; the header is read before
        return "skip"

    first = 0
    for batch in _batches(file, names, note):
        numbers = np.arange(first, first + batch.num_rows + len(broken))
        if broken:
            skipped = [number for number, _ in broken]
            numbers = np.setdiff1d(numbers, skipped, assume_unique=True)[: batch.num_rows]
        first = int(numbers[-1]) + 1 if len(numbers) else first
        passed = [one for one in broken if one[0] < first]
        broken[:] = [one for one in broken if one[0] >= first]
        table = pa.Table.from_batches([batch])
        yield RawRows(table=table, numbers=pa.array(numbers), rejected=_by_reason(passed))
    if broken:
        none = pa.table({name: pa.array([], pa.string()) for name in names})
        yield RawRows(table=none, numbers=pa.array([], pa.int64()), rejected=_by_reason(broken))


def _by_reason(broken: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, reason in broken:
        found.setdefault(reason, []).append(number)
    return found


def _batches(
    file: "io.BufferedReader[_Chunks]", names: list[str], note: Callable[[pa_csv.InvalidRow], str]
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


def _header(file: "io.BufferedReader[_Chunks]", source: Path) -> list[str]:
    line = file.readline(MAX_LINE_BYTES + 1)
    if line.startswith(_MARK):
        why = line.removeprefix(_MARK).decode().strip()
        raise InputError("calls.format", f"the header cannot be read: {why}", where=str(source))
    return [name.strip().strip('"') for name in line.decode("utf-8-sig").strip().split(",")]


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


def _sound(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Return whole lines such that none of them can stop or mislead the parser."""
    row: re.Pattern[bytes] | None = None
    waiting = rest = damage = b""
    try:
        for chunk in chunks:
            block, end, rest = (waiting + rest + chunk).rpartition(b"\n")
            rest = rest[: MAX_LINE_BYTES + 1]  # of a longer line this is enough to tell
            row = row or (_row_like(block) if end else None)
            sound, waiting = _sound_lines(block + end, row)
            yield sound
    except DamagedError as error:
        rest, damage = b"", _mark(str(error))
    last = waiting + rest + (b"\n" if rest else b"")
    yield _sound_lines(last, row, is_last=True)[0] + damage


def _row_like(text: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a row as it is written properly, over several lines too.

    It has as many columns as the first line of `text`.
    """
    commas = text.partition(b"\n")[0].count(b",")
    return re.compile(rb"%b(?:,%b){%d}\r?(?=\n)" % (_PROPER, _PROPER, commas))


def _sound_lines(
    block: bytes, row: re.Pattern[bytes] | None, *, is_last: bool = False
) -> tuple[bytes, bytes]:
    """Return the lines of `block`, and those at its end whose open quote waits for more of them.

    They are looked at one by one only if some are odd.
    """
    if _is_bounded(block) and _is_sound(block):
        return block, b""
    found: list[bytes] = []
    at = 0
    while at < len(block):
        end = block.index(b"\n", at)
        line = block[at:end]
        if row is not None and _is_open(line):
            joined = row.match(block, at, at + MAX_LINE_BYTES)
            if joined:
                found.append(_mark(_BREAK))
                at = joined.end() + 1
                continue
            if not is_last and len(block) - at < MAX_LINE_BYTES:
                return b"".join(found), block[at:]
        found.append(_sound_line(line))
        at = end + 1
    return b"".join(found), b""


def _is_open(line: bytes) -> bool:
    """Return whether a quote is open at the end of `line`."""
    return len(line) <= MAX_LINE_BYTES and b'"' in line and not _LINE.fullmatch(line)


def _is_bounded(block: bytes) -> bool:
    at = 0
    while at + MAX_LINE_BYTES < len(block):
        end = block.rfind(b"\n", at, at + MAX_LINE_BYTES + 1)
        if end < 0:
            return False
        at = end + 1
    return True


def _is_sound(block: bytes) -> bool:
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return False
    if _MARK in block:
        return False
    if b'"' in block and not _is_quoted(block):
        return False
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


def _is_quoted(block: bytes) -> bool:
    """Return whether each line has quotes in pairs, the first at a field's start or after another.

    That is enough for every line to end outside of quotes, and needs no look at single lines.
    """
    octets = np.frombuffer(b"\n" + block, np.uint8)
    quotes = np.flatnonzero(octets == ord('"'))
    opened = np.searchsorted(quotes, np.flatnonzero(octets == ord("\n"))) % 2
    return not opened.any() and bool(np.isin(octets[quotes[::2] - 1], _BEFORE_A_QUOTE).all())


def _sound_line(line: bytes) -> bytes:
    if len(line) > MAX_LINE_BYTES:
        return _mark(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        line.decode()
    except UnicodeDecodeError:
        return _mark("not UTF-8")
    if line.startswith(_MARK):
        return _mark("a control character at its start")
    if b"\r" in line[:-1]:
        return _mark(_BREAK)
    if _is_open(line):
        return _mark("a quote that nothing closes")
    return line + b"\n"


def _mark(reason: str) -> bytes:
    return _MARK + reason.encode() + b"\n"
