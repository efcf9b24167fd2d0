"""What a span's attributes mean, in the old semantic conventions and the new ones.

Spans are the services' own word: `mtls` is never set, and every name is what a service calls
itself. `service.name` with the Kubernetes namespace is a workload's name. An attribute of a wrong
type says nothing; the span still says who called whom.

Source: OpenTelemetry semantic conventions 1.44 (HTTP, RPC, messaging, resource), and 1.20 for the
old names.
"""

from collections.abc import Mapping
from typing import Any, Final

from meshwarden.adapters.opentelemetry.span import Kind, Span
from meshwarden.adapters.sources.fields import MAX_TEXT, address_of
from meshwarden.adapters.sources.parties import (
    address_party,
    host_party,
    named,
    pod_owner,
    principal,
    workload,
)
from meshwarden.adapters.sources.row import CLUSTER_DOMAIN, INT64_MAX, Row
from meshwarden.kernel import UNKNOWN

_METHOD: Final = ("http.request.method", "http.method")
_STATUS: Final = ("http.response.status_code", "http.status_code")
_RPC_STATUS: Final = ("rpc.response.status_code", "rpc.status_code", "rpc.grpc.status_code")
_PATH: Final = ("url.path", "http.target", "url.full", "http.url")
_PEER: Final = ("service.peer.name", "peer.service")
_HOST: Final = ("server.address", "net.peer.name", "http.host", "net.peer.ip")
_CLIENT: Final = ("client.address", "http.client_ip", "network.peer.address", "net.sock.peer.addr")
_RECEIVED: Final = ("http.request.body.size", "http.request_content_length", "http.request.size")
_SENT: Final = ("http.response.body.size", "http.response_content_length", "http.response.size")
_SERVICE_NAMESPACE: Final = ("k8s.namespace.name", "service.namespace")
_DESTINATION: Final = ("messaging.destination.name", "messaging.destination")
_MESSAGING: Final = (
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.operation",
)
_SHAPE: Final = ("shape", "http.request.body.shape")


def party_of(span: Span, domain: str = CLUSTER_DOMAIN) -> str:
    """Return who made `span`: a SPIFFE ID that it carries, its service, or its pod's owner."""
    resource = span.resource
    own = principal(_text(resource, ("spiffe.id", "service.spiffe.id")))
    if own is not None:
        return own
    namespace = _text(resource, _SERVICE_NAMESPACE)
    name = _text(resource, ("service.name",))
    if name is not None and not name.startswith("unknown_service"):
        return workload(namespace, name, domain) if namespace else _service(name, domain)
    pod = _text(resource, ("k8s.pod.name",))
    return pod_owner(namespace, pod, domain) if pod else UNKNOWN


def callee_of(span: Span, domain: str = CLUSTER_DOMAIN) -> str:
    """Return whom a client's span says that it called."""
    peer = _text(span.attributes, _PEER)
    if peer is not None:
        namespace = _text(span.attributes, ("service.peer.namespace",))
        return workload(namespace, peer, domain) if namespace else _service(peer, domain)
    if span.kind is Kind.PRODUCER:
        return _service(_text(span.attributes, _DESTINATION) or "", domain)
    host = address_of(_text(span.attributes, _HOST))[0]
    return host_party(host, domain)


def caller_of(span: Span) -> str:
    """Return what a server's span without a client's says of its caller: outside, or unknown."""
    return UNKNOWN if span.parent else address_party(_text(span.attributes, _CLIENT))


def row_of(span: Span, *, source: str, destination: str, caller: Span | None) -> Row:
    """Return the call that `span` reports.

    Args:
        span: the server's, or the client's where there is no other.
        source: the caller.
        destination: the callee.
        caller: the client's span, where `span` is the server's and it is known.
    """
    attributes = span.attributes
    serving = span.kind in {Kind.SERVER, Kind.CONSUMER}
    own = _instance(span)
    row: Row = {
        "time": span.start,
        "source": source,
        "destination": destination,
        "source_instance": (_instance(caller) if caller else None) if serving else own,
        "destination_instance": own if serving else None,
        "destination_port": (
            None if serving else _count(attributes, ("server.port", "net.peer.port"), 65535)
        ),
        "protocol": "other",
        "request_bytes": _count(attributes, _RECEIVED),
        "response_bytes": _count(attributes, _SENT),
        "duration": max(0, span.end - span.start),
        "shape": _text(attributes, _SHAPE),
        "release": _release(caller if serving else span),
        "reporter": "destination" if serving else "source",
    }
    _operation(row, span)
    return row


def _operation(row: Row, span: Span) -> None:
    attributes = span.attributes
    system = _text(attributes, ("rpc.system.name", "rpc.system"))
    method = _text(attributes, _METHOD)
    if system is not None:
        row["protocol"] = "grpc" if system in {"grpc", "dubbo", "connect_rpc"} else "other"
        full = _text(attributes, ("rpc.method",)) or span.name
        service = _text(attributes, ("rpc.service",)) or full.rpartition("/")[0]
        row["method"] = full.rpartition("/")[2][:128] or None
        row["route"] = f"/{service}/{row['method']}" if service else None
        row["status"] = _rpc_status(attributes)
    elif method is not None:
        row["protocol"] = "http"
        row["method"] = method
        row["status"] = _count(attributes, _STATUS, 999)
        route = _text(attributes, ("http.route",))
        if route is not None:
            row["route"] = _holes(route)
        else:
            row["path"] = _text(attributes, _PATH)
    elif span.kind in {Kind.PRODUCER, Kind.CONSUMER}:
        row["method"] = _text(attributes, _MESSAGING)
        row["route"] = _text(attributes, _DESTINATION)


def _holes(route: str) -> str:
    """Return a framework's template in our spelling: `/a/:id`, `/a/<int:id>`, `/a/{id}`."""
    parts = route.split("/")
    return "/".join("{}" if part[:1] in {":", "<", "{", "*"} and part else part for part in parts)


def _rpc_status(attributes: Mapping[str, Any]) -> int | None:
    name = _text(attributes, _RPC_STATUS)
    if name is not None and not name.isdigit():
        return _GRPC.get(name.replace("_", "").lower())
    return _count(attributes, _RPC_STATUS, 999)


def _release(caller: Span | None) -> str | None:
    return _text(caller.resource, ("service.version",)) if caller else None


def _instance(span: Span) -> str | None:
    return _text(span.resource, ("k8s.pod.name", "service.instance.id", "host.name"))


def _service(name: str, domain: str) -> str:
    return (named(name, domain) if name else None) or UNKNOWN


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)


def _text(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    value = _first(attributes, names)
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _count(
    attributes: Mapping[str, Any], names: tuple[str, ...], most: int = INT64_MAX
) -> int | None:
    value = _first(attributes, names)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
    return value if known else None


_GRPC: Final = {
    name: number
    for number, name in enumerate(
        (  # noqa: SIM905
            "ok cancelled unknown invalidargument deadlineexceeded notfound alreadyexists"
            " permissiondenied resourceexhausted failedprecondition aborted outofrange"
            " unimplemented internal unavailable dataloss unauthenticated"
        ).split()
    )
}
