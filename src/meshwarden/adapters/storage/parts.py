"""The record on disk: numbered Parquet parts in one folder, written by one process, read by any.

- A part appears whole (temporary file, fsync, rename) or not at all, and is never changed.
- A part's name is the range of numbers that it holds. A merged part covers the range of those it
  replaces; whoever reads ignores parts whose range another one covers, so that a crash between
  writing the merged part and removing the others shows each call once.
- Each part carries in its schema metadata the writer's checkpoint: where it stood in its sources
  when this part was written. Calls and checkpoint are durable in the same instant, which is what
  makes the record exactly-once.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshwarden.adapters.storage.durable import sync_folder, write_whole
from meshwarden.kernel import CALL_SCHEMA, StateError

CHECKPOINT: Final = b"meshwarden.checkpoint"
_NAME: Final = re.compile(r"calls-(\d{12})-(\d{12})\.parquet")
_MERGED: Final = 16
_FULL_BYTES: Final = 1024**2  # larger parts stay as they are: a merge is done in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of the record, holding the numbers `first` to `last`."""

    path: Path
    first: int
    last: int

    @property
    def span(self) -> int:
        """How many numbers it holds."""
        return self.last - self.first + 1


def list_parts(folder: Path) -> list[Part]:
    """Return the parts that make up the record, oldest first, without those already replaced."""
    found = sorted(_found(folder), key=lambda part: (part.first, -part.last))
    current: list[Part] = []
    for part in found:
        if not current or part.last > current[-1].last:
            current.append(part)
    return current


def read_checkpoint(part: Part) -> bytes:
    """Return the checkpoint of `part`; StateError `record.damaged` where that is no Parquet."""
    try:
        metadata = pq.read_schema(part.path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise StateError(
            "record.damaged",
            f"{part.path} is not readable: {error}",
            hint="move it away; calls that are still in the logs are recorded again",
        ) from error
    return bytes(metadata.get(CHECKPOINT, b""))


class PartWriter:
    """The one writer of a folder of parts.

    Args:
        folder: created where it is missing.
        max_bytes: bound of the whole record; beyond it the oldest parts go.

    Raises:
        StateError: `record.locked` where another process writes there, `record.unusable` where
            the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(folder)
            self._tidy()
        except OSError as error:
            raise StateError(
                "record.unusable",
                f"calls cannot be recorded in {folder}: {error.filename}: {error.strerror}",
                hint="free space, and let the account that runs meshwarden write there",
            ) from error

    def newest(self) -> Part | None:
        """Return the newest part; None where there is none."""
        parts = list_parts(self.folder)
        return parts[-1] if parts else None

    def store(self, calls: pa.Table, checkpoint: bytes) -> Part:
        """Append `calls` and `checkpoint` durably; OSError where the disk refuses."""
        newest = self.newest()
        number = newest.last + 1 if newest else 1
        return self._write(number, number, calls, checkpoint)

    def compact(self) -> Part | None:
        """Merge one run of 16 neighbours of the same size; return what came of it, None = nothing.

        Sizes are powers of 16, so that each call is rewritten a few times at most.
        """
        run = _run(list_parts(self.folder))
        if not run:
            return None
        tables = [  # by this thread alone: others have more urgent work
            pq.read_table(part.path, schema=CALL_SCHEMA, use_threads=False) for part in run
        ]
        checkpoint = read_checkpoint(run[-1])
        merged = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
        part = self._write(run[0].first, run[-1].last, merged, checkpoint)
        self._remove(run)
        return part

    def enforce_bound(self) -> tuple[int, int]:
        """Delete the oldest parts beyond the bound, never the newest; return (parts, calls)."""
        parts = list_parts(self.folder)
        sizes = [part.path.stat().st_size for part in parts]
        total = sum(sizes)
        gone: list[Part] = []
        calls = 0
        for part, size in zip(parts[:-1], sizes[:-1], strict=True):
            if total <= self._max_bytes:
                break
            total -= size
            calls += pq.read_metadata(part.path).num_rows
            gone.append(part)
        self._remove(gone)
        return len(gone), calls

    def set_aside(self, part: Part) -> None:
        """Take a damaged part out of the record, and keep it for whoever wants to look at it."""
        part.path.rename(part.path.with_suffix(".damaged"))
        sync_folder(self.folder)

    def close(self) -> None:
        """Let another process write."""
        os.close(self._lock)

    def _write(self, first: int, last: int, calls: pa.Table, checkpoint: bytes) -> Part:
        path = self.folder / f"calls-{first:012}-{last:012}.parquet"
        table = calls.replace_schema_metadata({CHECKPOINT: checkpoint})
        write_whole(path, lambda target: pq.write_table(table, target, compression="zstd"))
        return Part(path=path, first=first, last=last)

    def _remove(self, parts: Sequence[Part]) -> None:
        for part in parts:
            part.path.unlink(missing_ok=True)
        if parts:
            sync_folder(self.folder)

    def _tidy(self) -> None:
        """Remove what a crash left: unfinished files, parts that another part covers."""
        for left in self.folder.glob(".calls-*.tmp"):
            left.unlink(missing_ok=True)
        current = {part.path for part in list_parts(self.folder)}
        self._remove([part for part in _found(self.folder) if part.path not in current])


def _found(folder: Path) -> Iterator[Part]:
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            named = _NAME.fullmatch(path.name)
            if named:
                yield Part(path=path, first=int(named.group(1)), last=int(named.group(2)))


def _run(parts: Sequence[Part]) -> Sequence[Part]:
    """Return 16 neighbours on the same level (span from a power of 16 up to the next)."""
    for start in range(len(parts) - _MERGED + 1):
        run = parts[start : start + _MERGED]
        if len({_level(part) for part in run}) == 1 and not any(map(_full, run)):
            return run
    return []


def _full(part: Part) -> bool:
    return part.path.stat().st_size >= _FULL_BYTES


def _level(part: Part) -> int:
    level = 0
    while part.span >= _MERGED ** (level + 1):
        level += 1
    return level


def _locked(folder: Path) -> int:
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateError(
            "record.locked",
            f"{folder} is being written by another process",
            hint="one meshwarden writes one state directory; use another --state",
        ) from error
    return descriptor
