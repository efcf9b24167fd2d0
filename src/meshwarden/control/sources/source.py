"""All files of a run, one after the other, each by the reader of its format."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from meshwarden.adapters.sources.files import STDIN, expand, open_log
from meshwarden.adapters.sources.lines import DamagedError, LineCutter, read_chunks
from meshwarden.adapters.sources.parties import named, principal
from meshwarden.adapters.sources.row import Context, Decoder
from meshwarden.behaviour.routes import RouteLearner
from meshwarden.control.sources.columns import read_columns
from meshwarden.control.sources.engine import LogEngine
from meshwarden.control.sources.formats import COLUMN_FORMATS, FORMATS, LINE_FORMATS
from meshwarden.control.sources.options import SourceOptions
from meshwarden.control.sources.report import SourceReport
from meshwarden.control.sources.sniff import format_of
from meshwarden.kernel import ConfigError, InputError


class Source:
    """The calls of some logs; iterate once. `open_source` is the way to one."""

    def __init__(self, paths: Sequence[str | Path], options: SourceOptions) -> None:
        if options.format != "auto" and options.format not in FORMATS:
            raise ConfigError(
                "source.format",
                f"{options.format!r} is no format that can be read",
                hint=f"auto, {', '.join(FORMATS)}",
            )
        self._options = options
        self._paths = expand(paths)
        self._routes = RouteLearner()
        self._open: dict[str, Decoder] = {}
        self.report = SourceReport()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Return the batches; see `open_source` for the errors."""
        for path in self._paths:
            self.report.files += 1
            try:
                yield from self._file(path)
            except InputError as error:
                self.report.note(f"{error.where}: {error.message} (skipped)")
        for name, decoder in self._open.items():
            engine = self._engine(Path(STDIN), name)
            yield from engine.add(decoder.finish())
            yield from engine.flush()

    def _file(self, path: Path) -> Iterator[pa.RecordBatch]:
        name = self._options.format
        if path.is_dir() or _is_parquet(path, name):
            yield from read_columns(path, None, self._options, self.report)
            return
        stream = open_log(path)
        try:
            yield from self._stream(path, stream)
        finally:
            if str(path) != STDIN:
                stream.close()

    def _stream(self, path: Path, stream: BinaryIO) -> Iterator[pa.RecordBatch]:
        chunks = self._chunks(path, stream)
        first = next(chunks, b"")
        name = self._options.format
        if name == "auto":
            found = format_of(first.split(b"\n"))
            if found is None:
                self._unknown(path, first)
                return
            name = found
        chunks = chain([first], chunks)
        if name in COLUMN_FORMATS:
            yield from read_columns(path, chunks, self._options, self.report)
            return
        engine = self._engine(path, name)
        cutter = LineCutter(max_line_bytes=LINE_FORMATS[name].max_line_bytes)
        for chunk in chunks:
            yield from engine.feed(cutter.cut(chunk))
        yield from engine.feed(cutter.end())
        yield from engine.end()

    def _engine(self, path: Path, name: str) -> LogEngine:
        context = Context(
            owner=self._owner(),
            trust_domain=self._options.trust_domain,
            reporter="import",
        )
        return LogEngine(
            name=str(path),
            format_name=name,
            mixed=self._options.format == "auto",
            decoder=self._decoder(name, context),
            context=context,
            options=self._options,
            report=self.report,
            routes=self._routes,
        )

    def _decoder(self, name: str, context: Context) -> Decoder:
        format_ = LINE_FORMATS[name]
        if not format_.spans_files:
            return format_.decoder(context)
        if name not in self._open:
            self._open[name] = format_.decoder(context)
        return self._open[name]

    def _owner(self) -> str | None:
        raw = self._options.owner
        return raw and (principal(raw) or named(raw, self._options.trust_domain))

    def _chunks(self, path: Path, stream: BinaryIO) -> Iterator[bytes]:
        try:
            for chunk in read_chunks(stream):
                if self._options.progress is not None:
                    self._options.progress(len(chunk))
                yield chunk
        except DamagedError as error:
            self.report.note(f"{path}: {error}; read as far as it goes")
        except OSError as error:
            self.report.note(f"{path}: {error.strerror}; read as far as it goes")

    def _unknown(self, path: Path, first: bytes) -> None:
        if not first.strip():
            self.report.note(f"{path}: empty")
            return
        raise InputError(
            "source.format",
            "the format cannot be told from the first lines",
            where=str(path),
            hint=f"--from FORMAT, one of {', '.join(FORMATS)}",
        )


def _is_parquet(path: Path, name: str) -> bool:
    return str(path) != STDIN and (name == "parquet" or path.name.endswith(".parquet"))
