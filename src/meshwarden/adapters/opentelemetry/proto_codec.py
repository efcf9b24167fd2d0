"""OTLP protobuf (`messages`) into spans; what `json_codec` does for JSON."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from meshwarden.adapters.opentelemetry.span import Kind, Span
from meshwarden.adapters.sources.fields import text_of, time_of
from meshwarden.adapters.sources.row import refuse
from meshwarden.kernel import InputError

_KINDS: Final = {kind.value: kind for kind in Kind}
_MAX_ATTRIBUTES: Final = 256
_MAX_LINKS: Final = 16


def parse_request(request: Any) -> Iterator[Span | InputError]:  # noqa: ANN401
    """Return the spans at the edge of a service; one that cannot be read as its error."""
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope in resource_spans.scope_spans:
            for span in scope.spans:
                kind = _KINDS.get(span.kind)
                if kind is None:
                    continue
                try:
                    yield _span(span, resource, kind)
                except InputError as error:
                    yield error


def _span(span: Any, resource: dict[str, Any], kind: Kind) -> Span:  # noqa: ANN401
    if len(span.trace_id) != 16 or len(span.span_id) != 8:
        refuse("span without ids")
    return Span(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex() if len(span.parent_span_id) == 8 else "",
        kind=kind,
        name=text_of(span.name, "name") or "",
        start=time_of(str(span.start_time_unix_nano)),
        end=time_of(str(span.end_time_unix_nano)),
        resource=resource,
        attributes=_attributes(span.attributes),
        links=tuple(
            (link.trace_id.hex(), link.span_id.hex()) for link in islice(span.links, _MAX_LINKS)
        ),
    )


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for pair in islice(pairs, _MAX_ATTRIBUTES):
        kind = pair.value.WhichOneof("value")
        if kind in {"string_value", "bool_value", "int_value"}:
            known[pair.key] = getattr(pair.value, kind)
    return known
