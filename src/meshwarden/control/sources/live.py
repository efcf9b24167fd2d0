"""Sources that go on: growing files and standard input, until told to stop.

What has been read is handed on when a batch is full, or when nothing more came for a moment: a call
waits in a half-filled batch for the length of `interval_s` at most.

What is packed, or in columns, cannot be read while it grows. Named as such it is refused; where it
merely lies in a folder of logs (what was rotated away) it is left out, as long as others are left.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from meshwarden.adapters.sources.files import STDIN
from meshwarden.adapters.sources.follow import FollowedFile, FollowedPipe
from meshwarden.adapters.sources.lines import LineCutter
from meshwarden.control.sources.engine import LogEngine
from meshwarden.control.sources.formats import LINE_FORMATS
from meshwarden.control.sources.options import SourceOptions
from meshwarden.control.sources.report import SourceReport
from meshwarden.kernel import InputError

_SNIFFED_BYTES: Final = 64 * 1024
_MAGIC: Final = {b"\x1f\x8b": "gzip", b"PAR1": "Parquet"}
MakeEngine = Callable[[Path, bytes], LogEngine | None]


class NotFollowedError(InputError):
    """A file of a kind that cannot be read while it grows.

    Args:
        path: the file.
        kind: what it is.
    """

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(
            "source.followed", f"{kind} cannot be followed", where=str(path),
            hint="--once reads it to its end",
        )  # fmt: skip


def follow(
    paths: Sequence[Path],
    make: MakeEngine,
    options: SourceOptions,
    report: SourceReport,
    *,
    named: Collection[Path],
) -> Iterator[pa.RecordBatch]:
    """Return the calls of all `paths` as they grow, until `options.stop` is set.

    Args:
        paths: files, which need not be there yet, and `-`.
        make: builds the engine of a file from its path and first octets; None where its format
            cannot be told from them; NotFollowedError where it is in columns.
        options: `stop` and `interval_s`.
        report: grows.
        named: those of `paths` that were named one by one.

    Raises:
        NotFollowedError: a named one, or all of them, cannot be followed.
    """
    stop = options.stop or threading.Event()
    for path in paths:
        if path.is_dir():
            raise NotFollowedError(path, "a folder of recorded calls")
    logs = [_Log(path, make, options, report) for path in paths]
    try:
        while not stop.is_set() and not all(log.ended for log in logs):
            moved = False
            for log in list(logs):
                data = log.read()
                moved = moved or bool(data)
                try:
                    yield from log.take(data)
                except NotFollowedError as error:
                    logs.remove(log)
                    log.close()
                    if not logs or log.path in named:
                        raise
                    report.note(f"{error.where}: {error.message} (left out)")
            if not moved:
                for log in logs:
                    yield from log.flush()
                stop.wait(options.interval_s)
        for log in logs:
            yield from log.end()
    finally:
        for log in logs:
            log.close()


class _Log:
    """One followed file: what was read before its format could be told, then its engine."""

    def __init__(
        self, path: Path, make: MakeEngine, options: SourceOptions, report: SourceReport
    ) -> None:
        self._file = FollowedPipe() if str(path) == STDIN else FollowedFile(path)
        self._make = make
        self._options = options
        self._report = report
        self._begun = b""
        self._engine: LogEngine | None = None
        self._cutter = LineCutter(max_line_bytes=_SNIFFED_BYTES)
        self._renewed = 0
        self.path = path

    @property
    def ended(self) -> bool:
        return self._file.ended

    def read(self) -> bytes:
        try:
            data = self._file.read()
        except OSError as error:
            self._report.note(f"{self._file.path}: {error.strerror}")
            return b""
        if self._options.progress is not None:
            self._options.progress(len(data))
        return data

    def take(self, data: bytes) -> Iterator[pa.RecordBatch]:
        if self._file.renewed != self._renewed and self._engine is not None:
            self._renewed = self._file.renewed
            self._report.note(f"{self._file.path}: rotated or cut, followed on")
            yield from self._engine.feed(self._cutter.end())
        if not data:
            return
        if self._engine is None:
            data = self._begun + data
            if not self._sniff(data):
                return
        if self._engine is not None:
            yield from self._engine.feed(self._cutter.cut(data))

    def flush(self) -> Iterator[pa.RecordBatch]:
        if self._engine is not None:
            yield from self._engine.flush()

    def end(self) -> Iterator[pa.RecordBatch]:
        if self._engine is not None:
            yield from self._engine.feed(self._cutter.end())
            yield from self._engine.end()
        elif self._begun:
            self._report.note(f"{self._file.path}: the format cannot be told")

    def close(self) -> None:
        self._file.close()

    def _sniff(self, data: bytes) -> bool:
        for magic, kind in _MAGIC.items():
            if data.startswith(magic):
                raise NotFollowedError(self.path, kind)
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and len(data) > _SNIFFED_BYTES:
            whole = data
        self._engine = self._make(self._file.path, whole) if whole else None
        if self._engine is None and len(data) > _SNIFFED_BYTES:
            data = data[-_SNIFFED_BYTES:]
            self._report.note(f"{self._file.path}: octets skipped, in no format that is known")
        self._begun = b"" if self._engine else data
        if self._engine is not None:
            most = LINE_FORMATS[self._engine.format_name].max_line_bytes
            self._cutter = LineCutter(max_line_bytes=most)
        return self._engine is not None
