"""What commands that read logs share: options, progress, rejected lines, and the report as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow as pa
from cyclopts import Parameter

from meshwarden.adapters.sources.row import CLUSTER_DOMAIN
from meshwarden.adapters.storage.rejected import Rejected, RejectedLines
from meshwarden.cli.calls_text import counted, printable, rfc3339
from meshwarden.cli.progress import Progress
from meshwarden.control.sources import STDIN, SetAside, Source, SourceOptions, SourceReport
from meshwarden.kernel import ConfigError, InputError

_REJECTED_BYTES: Final = 1024**3
_KEPT_AT_ONCE: Final = 1000
_SHOWN: Final = 12


Logs = Annotated[str, Parameter(allow_leading_hyphen=True)]  # for `-`, standard input


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How logs are read.

    Attributes:
        format: the logs' format; auto tells it by the first lines of each file.
        owner: whose logs these are, where they do not say it: SPIFFE ID or name.
        trust_domain: of names that come without one.
        rejected: keep records that could not be read here, with reason and place (JSON lines).
    """

    format: Annotated[str, Parameter(name="--from")] = "auto"
    owner: str | None = None
    trust_domain: str = CLUSTER_DOMAIN
    rejected: Path | None = None


class RejectedFile:
    """Keeps what was set aside in a file; None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._held: list[Rejected] = []
        self._lines = RejectedLines(path, max_bytes=_REJECTED_BYTES) if path else None
        self._path = path
        if path is not None:
            try:
                path.write_bytes(b"")
            except OSError as error:
                raise self._failed(error) from error

    def keep(self, record: SetAside) -> None:
        """Keep `record`; ConfigError `source.rejected` where the disk refuses."""
        if self._lines is None:
            return
        self._held.append(
            Rejected(log=record.file, where=record.where, reason=record.reason, line=record.record)
        )
        if len(self._held) >= _KEPT_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is held; ConfigError as for `keep`."""
        held, self._held = self._held, []
        if self._lines is None:
            return
        try:
            self._lines.keep(held)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> ConfigError:
        return ConfigError("source.rejected", f"{self._path} cannot be written: {error.strerror}")


def require_logs(logs: tuple[str, ...]) -> None:
    """Raise ConfigError where `logs` are none, or hold an option that nobody knows."""
    if not logs:
        raise ConfigError("source.none", "name at least one file, or - for stdin")
    for name in logs:
        if name.startswith("-") and name != STDIN:
            raise ConfigError(
                "source.option", printable(f"unknown option {name}"), hint="--help; ./-x is a file"
            )


def options_of(reading: Reading, rejected: RejectedFile, progress: Progress) -> SourceOptions:
    """Return what `open_source` takes."""
    return SourceOptions(
        format=reading.format,
        owner=reading.owner,
        trust_domain=reading.trust_domain,
        rejected=rejected.keep,
        progress=progress.add,
    )


def watched(source: Source, progress: Progress) -> Iterator[pa.RecordBatch]:
    """Return the batches of `source`, showing progress on the way."""
    for batch in source:
        progress.show(f"{source.report.calls:,} calls, {source.report.aside:,} set aside")
        yield batch
    progress.done()


def require_calls(report: SourceReport) -> None:
    """Raise InputError `source.empty` where nothing came of all that was read."""
    if report.calls:
        return
    why = next(iter(report.set_aside), None) or next(iter(report.notes), None)
    raise InputError(
        "source.empty",
        printable(
            f"{counted(report.files, 'file')}, {counted(report.records, 'record')}, no calls"
            + (f": {why}" if why else "")
        ),
        where="input",
        hint="is it one of the formats of docs/reference/sources.md? --from names one",
    )


def report_lines(report: SourceReport) -> list[str]:
    """Return the report for people, one subject a line."""
    lines = [
        f"read        {counted(report.records, 'record')} of {counted(report.files, 'file')}: "
        + ", ".join(f"{name} {n:,}" for name, n in report.formats.most_common())
    ]
    if report.first is not None and report.last is not None:
        lines.append(
            f"calls       {report.calls:,} from {rfc3339(report.first)} to {rfc3339(report.last)}"
        )
    if report.quiet:
        lines.append(f"no call     {report.quiet:,} records that report none (headers, replies)")
    return [*(printable(line) for line in lines), *aside_lines(report)]


def aside_lines(report: SourceReport) -> list[str]:
    """Return what could not be read, or was odd, the most frequent first; one line a reason."""
    lines = [f"set aside   {n:,} {why}" for why, n in report.set_aside.most_common(_SHOWN)]
    lines += [f"note        {n:,} x {text}" for text, n in report.notes.most_common(_SHOWN)]
    return [printable(line) for line in lines]


def report_object(report: SourceReport) -> dict[str, Any]:
    """Return the report for machines."""
    return {
        "files": report.files,
        "read": report.records,
        "kept": report.calls,
        "no_call": report.quiet,
        "set_aside": dict(report.set_aside),
        "notes": dict(report.notes),
        "formats": dict(report.formats),
        "first": None if report.first is None else rfc3339(report.first),
        "last": None if report.last is None else rfc3339(report.last),
        "proven": report.proven,
        "unnamed": report.unnamed,
    }
