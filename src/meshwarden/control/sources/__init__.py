"""Any supported log into record batches of `CALL_SCHEMA`: the one way in for all that reads calls.

    source = open_source(["access.log", "logs/"], options=SourceOptions())
    for batch in source:            # pa.RecordBatch of CALL_SCHEMA, bounded rows
        ...
    source.report                   # read, kept, set aside by reason, notes, time span

`formats` lists what can be read, `sniff` tells which it is, `engine` reads one log, `source`
all of them; `report` counts. Whatever cannot be read is counted, handed to `rejected`, and never
the end of the run.
"""

from collections.abc import Sequence
from pathlib import Path

from meshwarden.control.sources.formats import FORMATS
from meshwarden.control.sources.options import STDIN, SourceOptions
from meshwarden.control.sources.report import SetAside, SourceReport
from meshwarden.control.sources.source import Source

__all__ = [
    "FORMATS",
    "STDIN",
    "SetAside",
    "Source",
    "SourceOptions",
    "SourceReport",
    "open_source",
]


def open_source(paths: Sequence[str | Path], *, options: SourceOptions | None = None) -> Source:
    """Return the calls of all `paths`, to be iterated once, and the report that grows meanwhile.

    Args:
        paths: files, folders (everything in them, by name), glob patterns, `-` for standard input,
            `otlp://host:port` for a receiver of spans. Gzip is unpacked.
        options: format, names, bounds.

    Raises:
        InputError: `source.missing` where a path or pattern names nothing.
        ConfigError: `source.format` for a format nobody knows.

    Iterating raises none of them: a file that cannot be read is a note in the report. Only where
    growing files are followed, one that is packed or in columns is an InputError `source.followed`.
    """
    return Source(paths, options or SourceOptions())
