"""`meshwarden calls import`: logs of any supported format into recorded calls."""

import contextlib
import json as jsonlib
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import pyarrow as pa
from cyclopts import Parameter

from meshwarden.adapters.storage.parquet_file import ParquetFile
from meshwarden.adapters.storage.parts import PartWriter
from meshwarden.cli.progress import Progress
from meshwarden.cli.sources import (
    Logs,
    Reading,
    RejectedFile,
    options_of,
    report_lines,
    report_object,
    require_calls,
    require_logs,
    watched,
)
from meshwarden.control.sources import Source, SourceReport, open_source
from meshwarden.kernel import ConfigError

Json = Annotated[bool, Parameter(name="--json", negative="")]
_RECORD_BYTES: Final = 64 * 1024**3


def import_calls(
    *files: Logs,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    reading: Reading | None = None,
    follow: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Read logs of any supported format into calls.

    Args:
        files: files, folders, patterns, - for stdin, otlp://HOST:PORT to receive spans.
        output: a .parquet file; with --follow a folder of parts, readable at any time.
        reading: how the logs are read.
        follow: go on as the files grow, through rotation and truncation, until interrupted.
        json: print one JSON object.
    """
    require_logs(files)
    reading, live = reading or Reading(), follow or _receives(files)
    if live == (output.suffix == ".parquet"):
        kind = "a folder, as parts are added" if live else "a file that ends in .parquet"
        raise ConfigError("calls.output", f"-o {output} has to be {kind}")
    rejected, progress = RejectedFile(reading.rejected), Progress()
    options = options_of(reading, rejected, progress)
    with _interruptible() if live else contextlib.nullcontext() as stop:
        source = open_source(files, options=replace(options, stop=stop))
        (_follow if live else _write)(source, output, progress)
    rejected.flush()
    _say(source.report, output, json=json)
    return 0


def _write(source: Source, output: Path, progress: Progress) -> None:
    file = ParquetFile(output)
    try:
        for batch in watched(source, progress):
            file.write(batch)
        require_calls(source.report)
    except BaseException:  # an interrupt, too, leaves no half file behind
        file.abandon()
        raise
    file.commit()


def _follow(source: Source, output: Path, progress: Progress) -> None:
    writer = PartWriter(output, max_bytes=_RECORD_BYTES)
    try:
        for batch in watched(source, progress):
            writer.store(pa.Table.from_batches([batch]), b"")
            writer.compact()
    finally:
        writer.close()


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Return an event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _receives(files: tuple[str, ...]) -> bool:
    return any(name.startswith("otlp://") for name in files)


def _say(report: SourceReport, output: Path, *, json: bool) -> None:
    if json:
        print(jsonlib.dumps({**report_object(report), "output": str(output)}, ensure_ascii=False))
        return
    print("\n".join(report_lines(report)), file=sys.stderr)
    print(f"wrote       {output}", file=sys.stderr)
