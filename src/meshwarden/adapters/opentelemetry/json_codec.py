"""OTLP JSON into spans: the collector's file exporter, one `ExportTraceServiceRequest` a line.

Source: OpenTelemetry protocol, "JSON Protobuf Encoding": ids in hex, 64-bit numbers as strings,
kinds as numbers (their names are accepted too).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshwarden.adapters.opentelemetry.span import Kind, Span
from meshwarden.adapters.sources.fields import object_of, text_of, time_of
from meshwarden.adapters.sources.row import refuse
from meshwarden.kernel import InputError

_KINDS: Final[dict[int | str, Kind]] = {kind.value: kind for kind in Kind} | {
    f"SPAN_KIND_{kind.name}": kind for kind in Kind
}
_HEX: Final = re.compile(r"[0-9a-fA-F]{16}(?:[0-9a-fA-F]{16})?")
_MAX_ATTRIBUTES: Final = 256
_MAX_LINKS: Final = 16


def looks_like_otlp(found: Mapping[str, Any]) -> bool:
    """Return whether an object is an export of spans."""
    return isinstance(found.get("resourceSpans"), list)


def parse_spans(found: Mapping[str, Any]) -> Iterator[Span | InputError]:
    """Return the spans of an export that stand at the edge of a service.

    A span that cannot be read comes as its error `source.line`; the others do not suffer.
    """
    for resource_spans in _objects(found, "resourceSpans"):
        resource = attributes_of(object_of(resource_spans, "resource"))
        scopes = _objects(resource_spans, "scopeSpans")
        for scope in scopes or _objects(resource_spans, "instrumentationLibrarySpans"):
            for span in _objects(scope, "spans"):
                kind = _kind(span.get("kind"))
                if kind is None:
                    continue
                try:
                    yield _span(span, resource, kind)
                except InputError as error:
                    yield error


def _span(found: Mapping[str, Any], resource: Mapping[str, Any], kind: Kind) -> Span:
    trace, id_ = _id(found, "traceId"), _id(found, "spanId")
    if not trace or not id_:
        refuse("span without ids")
    return Span(
        trace=trace,
        id=id_,
        parent=_id(found, "parentSpanId"),
        kind=kind,
        name=text_of(found.get("name"), "name") or "",
        start=time_of(found.get("startTimeUnixNano")),
        end=time_of(found.get("endTimeUnixNano")),
        resource=resource,
        attributes=attributes_of(found),
        links=tuple(
            (_id(link, "traceId"), _id(link, "spanId"))
            for link in _objects(found, "links")[:_MAX_LINKS]
        ),
    )


def _kind(value: object) -> Kind | None:
    return _KINDS.get(value) if isinstance(value, int | str) else None


def attributes_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that are text, whole numbers or truth values."""
    known: dict[str, Any] = {}
    for pair in _objects(found, "attributes")[:_MAX_ATTRIBUTES]:
        key, value = pair.get("key"), object_of(pair, "value")
        if not isinstance(key, str):
            continue
        if isinstance(value.get("stringValue"), str):
            known[key] = value["stringValue"]
        elif isinstance(value.get("boolValue"), bool):
            known[key] = value["boolValue"]
        elif "intValue" in value:
            known[key] = _whole(value["intValue"])
    return known


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None


def _id(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    known = isinstance(value, str) and _HEX.fullmatch(value) and value.strip("0")
    return str(value).lower() if known else ""


def _objects(found: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = found.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        refuse(f"{name} is no list")
    return [item for item in value if isinstance(item, dict)]
