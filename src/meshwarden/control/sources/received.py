"""Spans that are sent to us as a source, until told to stop."""

import threading
from collections.abc import Iterator

import pyarrow as pa

from meshwarden.adapters.opentelemetry.codec import OtlpDecoder
from meshwarden.adapters.opentelemetry.receiver import OtlpReceiver
from meshwarden.control.sources.engine import LogEngine
from meshwarden.control.sources.options import SourceOptions
from meshwarden.control.sources.report import SetAside, SourceReport
from meshwarden.kernel import InputError


def receive(
    address: str,
    decoder: OtlpDecoder,
    engine: LogEngine,
    options: SourceOptions,
    report: SourceReport,
) -> Iterator[pa.RecordBatch]:
    """Return the calls of the spans that are sent to `address`, until `options.stop` is set.

    DependencyError `otlp.listen` where nothing can listen there.
    """
    stop = options.stop or threading.Event()
    receiver = OtlpReceiver(address)
    report.note(f"spans received on {address}")
    try:
        while not stop.is_set():
            spans = receiver.read(options.interval_s)
            for span in spans:
                report.records += 1
                if isinstance(span, InputError):
                    report.put_aside(span.message)
                    if options.rejected is not None:
                        options.rejected(SetAside(file=address, where="span", reason=span.message))
                else:
                    decoder.take(span)
            yield from engine.add(decoder.given())
            if not spans:
                yield from engine.flush()
    finally:
        receiver.close()
