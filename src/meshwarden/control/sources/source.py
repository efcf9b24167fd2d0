"""All files of a run, one after the other, each by the reader of its format."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa

from meshwarden.adapters.kubernetes.decoder import WrappedDecoder
from meshwarden.adapters.kubernetes.logs import pod_of_file
from meshwarden.adapters.opentelemetry.codec import OtlpDecoder
from meshwarden.adapters.sources.files import STDIN, expand, open_log
from meshwarden.adapters.sources.lines import DamagedError, LineCutter, read_chunks
from meshwarden.adapters.sources.parties import named, pod_owner, principal
from meshwarden.adapters.sources.row import Context, Decoder, JoiningDecoder
from meshwarden.behaviour.routes import RouteLearner
from meshwarden.control.sources.columns import read_columns
from meshwarden.control.sources.engine import LogEngine
from meshwarden.control.sources.formats import COLUMN_FORMATS, FORMATS, LINE_FORMATS
from meshwarden.control.sources.live import NotFollowedError, follow
from meshwarden.control.sources.options import SourceOptions
from meshwarden.control.sources.report import SetAside, SourceReport
from meshwarden.control.sources.sniff import format_of, is_wrapped
from meshwarden.kernel import ConfigError, InputError

OTLP: Final = "otlp://"
_HEAD_BYTES: Final = 4096


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
        self._sockets = [str(p).removeprefix(OTLP) for p in paths if str(p).startswith(OTLP)]
        if self._sockets and len(self._sockets) < len(paths):
            raise ConfigError("source.mixed", "receive spans or read files, not both at once")
        files = [path for path in paths if not str(path).startswith(OTLP)]
        self._named = frozenset(Path(path) for path in files)
        self._paths = expand(files, absent=options.stop is not None)
        self._routes = RouteLearner()
        self._open: dict[str, JoiningDecoder] = {}
        self.report = SourceReport()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Return the batches; see `open_source` for the errors."""
        self.report.files = len(self._paths) + len(self._sockets)
        if self._options.stop is not None:
            yield from follow(
                self._paths, self._follower, self._options, self.report, named=self._named
            )
        else:
            for path in self._paths:
                try:
                    yield from self._file(path)
                except InputError as error:
                    self.report.note(f"{error.where}: {error.message} (skipped)")
        yield from self._received()
        for name, decoder in self._open.items():
            engine = self._engine(Path(STDIN), name, wrapped=False)
            yield from engine.add(decoder.finish())
            yield from engine.flush()

    def _file(self, path: Path) -> Iterator[pa.RecordBatch]:
        name = self._options.format
        if path.is_dir() or _is_parquet(path, name):
            yield from read_columns(path, None, self._options, self.report, self._routes)
            return
        stream = open_log(path)
        try:
            with suppress(DamagedError):  # noted where it was met
                yield from self._stream(path, stream)
        finally:
            if str(path) != STDIN:
                stream.close()

    def _stream(self, path: Path, stream: BinaryIO) -> Iterator[pa.RecordBatch]:
        chunks = self._chunks(path, stream)
        first = next(chunks, b"")
        name = self._format_of(first)
        if name is None and first and b"\n" not in first:
            first = self._after_giant(path, first, chunks)
            if not first:
                return
            name = self._format_of(first)
        if name is None:
            self._unknown(path, first)
            return
        chunks = chain([first], chunks)
        if name in COLUMN_FORMATS:
            yield from read_columns(path, chunks, self._options, self.report, self._routes)
            return
        engine = self._engine(path, name, wrapped=is_wrapped(first[:_HEAD_BYTES].split(b"\n")))
        cutter = LineCutter(max_line_bytes=LINE_FORMATS[name].max_line_bytes)
        with suppress(DamagedError):  # and the line that was cut off by it is none
            for chunk in chunks:
                yield from engine.feed(cutter.cut(chunk))
            yield from engine.feed(cutter.end())
        yield from engine.end()

    def _after_giant(self, path: Path, first: bytes, chunks: Iterator[bytes]) -> bytes:
        """Return what follows a line that fills the first chunk; that chunk where it is all."""
        chunk = next(chunks, b"")
        if not chunk:
            return first
        while chunk and b"\n" not in chunk:
            chunk = next(chunks, b"")
        self.report.records += 1
        self.report.put_aside("longer than any line")
        if self._options.rejected is not None:
            self._options.rejected(
                SetAside(file=str(path), where="line 1", reason="longer than any line")
            )
        return chunk.partition(b"\n")[2]

    def _format_of(self, first: bytes) -> str | None:
        name = self._options.format
        return format_of(first.split(b"\n")) if name == "auto" else name

    def _follower(self, path: Path, first: bytes) -> LogEngine | None:
        name = self._format_of(first)
        if name is None:
            return None
        if name in COLUMN_FORMATS:
            raise NotFollowedError(path, name)
        return self._engine(path, name, wrapped=is_wrapped(first[:_HEAD_BYTES].split(b"\n")))

    def _received(self) -> Iterator[pa.RecordBatch]:
        if not self._sockets:
            return
        from meshwarden.control.sources.received import receive  # noqa: PLC0415  # gRPC is slow to load

        for address in self._sockets:
            decoder = self._decoder("otlp", Context(trust_domain=self._options.trust_domain))
            engine = self._engine(Path(address), "otlp", wrapped=False)
            if isinstance(decoder, OtlpDecoder):
                yield from receive(address, decoder, engine, self._options, self.report)

    def _engine(self, path: Path, name: str, *, wrapped: bool) -> LogEngine:
        context = self._context(path)

        def make(name: str) -> Decoder:
            if wrapped and LINE_FORMATS[name].joining is None:
                return WrappedDecoder(LINE_FORMATS[name].decoder, context)
            return self._decoder(name, context)

        return LogEngine(
            name=str(path),
            format_name=name,
            mixed=self._options.format == "auto",
            make=make,
            options=self._options,
            report=self.report,
            routes=self._routes,
        )

    def _decoder(self, name: str, context: Context) -> Decoder:
        joining = LINE_FORMATS[name].joining
        if joining is None:
            return LINE_FORMATS[name].decoder(context)
        first = self._open.get(name)
        if first is None:
            first = self._open[name] = joining(context)
            return first
        return first.joined(context)

    def _context(self, path: Path) -> Context:
        domain = self._options.trust_domain
        pod = pod_of_file(str(path))
        return Context(
            owner=self._owner() or (pod_owner(*pod, domain) if pod else None),
            instance=pod[1] if pod else None,
            folder=path.parent.name or None,
            trust_domain=domain,
        )

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
            raise
        except OSError as error:
            self.report.note(f"{path}: {error.strerror}; read as far as it goes")
            raise DamagedError(f"{error.strerror}") from error

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
