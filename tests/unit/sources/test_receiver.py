"""Spans sent to the receiver by a real exporter's protocol become calls."""

import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from meshwarden.adapters.opentelemetry.messages import (
    AnyValue,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
    KeyValue,
    ResourceSpans,
    ScopeSpans,
    Span,
)
from meshwarden.adapters.opentelemetry.proto_codec import parse_request
from meshwarden.adapters.opentelemetry.span import Span as SpanOf
from meshwarden.control.sources import SourceOptions, open_source
from meshwarden.kernel import DependencyError

NOW = 1_795_453_200_120_000_000


def _pair(key: str, value: str) -> Any:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _spans(service: str, span: Any) -> Any:
    found = ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])
    found.resource.attributes.append(_pair("service.name", service))
    return found


def _request() -> Any:
    common = {
        "trace_id": b"t" * 16,
        "start_time_unix_nano": NOW,
        "end_time_unix_nano": NOW + 5_000_000,
    }
    client = Span(span_id=b"client01", kind=3, **common)
    server = Span(span_id=b"server01", parent_span_id=b"client01", kind=2, **common)
    server.attributes.append(_pair("http.request.method", "GET"))
    broken = Span(span_id=b"x", kind=2)
    return ExportTraceServiceRequest(
        resource_spans=[_spans("web", client), _spans("reviews", server), _spans("odd", broken)]
    )


@pytest.mark.timeout(60)
def test_spans_sent_over_grpc_become_calls(tmp_path: Path) -> None:
    stop, socket = threading.Event(), f"unix:{tmp_path}/otlp.sock"
    source = open_source([f"otlp://{socket}"], options=SourceOptions(stop=stop, interval_s=0.05))
    rows = []

    def drain() -> None:
        for batch in source:
            rows.extend(batch.to_pylist())
            stop.set()

    thread = threading.Thread(target=drain)
    thread.start()
    with grpc.insecure_channel(socket) as channel:
        export = channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            request_serializer=ExportTraceServiceRequest.SerializeToString,
            response_deserializer=ExportTraceServiceResponse.FromString,
        )
        export(_request(), wait_for_ready=True, timeout=30)
        thread.join(30)
    assert not thread.is_alive()
    (row,) = rows
    assert (row["source"], row["destination"]) == (
        "spiffe://cluster.local/web",
        "spiffe://cluster.local/reviews",
    )
    assert (row["method"], row["reporter"]) == ("GET", "destination")
    assert dict(source.report.set_aside) == {"span without ids": 1}


def test_the_wire_is_otlps() -> None:
    """Octets written by hand from trace.proto: resource_spans, scope_spans, one server's span."""
    span = b"\x0a\x10" + b"t" * 16 + b"\x12\x08" + b"s" * 8 + b"\x1a\x03a=b" + b"\x2a\x02op\x30\x02"
    span += b"\x39" + NOW.to_bytes(8, "little") + b"\x41" + (NOW + 7).to_bytes(8, "little")
    pair = b"\x0a\x04peer\x12\x03\x0a\x01x"
    span += b"\x4a" + bytes([len(pair)]) + pair + b"\x7a\x02\x18\x02"
    scope = b"\x12" + bytes([len(span)]) + span
    resource = b"\x12" + bytes([len(scope)]) + scope
    (found,) = parse_request(
        ExportTraceServiceRequest.FromString(b"\x0a" + bytes([len(resource)]) + resource)
    )
    assert isinstance(found, SpanOf)
    assert (found.id, found.kind, found.end - found.start) == ((b"s" * 8).hex(), 2, 7)
    assert found.attributes == {"peer": "x"}


def test_an_address_that_cannot_be_had_is_one_clear_error() -> None:
    source = open_source(
        ["otlp://unix:/nowhere/x.sock"], options=SourceOptions(stop=threading.Event())
    )
    with pytest.raises(DependencyError, match="cannot be listened on"):
        list(source)
