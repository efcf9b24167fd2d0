"""What our sidecars write to their access log, as `AccessLog` messages to put into listeners.

One JSON line per request, connection or refused handshake, all of one sidecar in one file. The
operators were chosen by experiment on Envoy 1.40 (docs/decisions/0003-record-of-calls.md):

- The query is never written, nor any header that carries a token: of one that was verified, its
  transaction.
- `hs` (end of the TLS handshake) is the proof behind `peer`: Envoy writes the URI of whatever
  certificate arrived, also of one that it refused and of one whose key was never proven.
- tcp_proxy gets no `hs`; there, bytes received or a decided rule are the proof.
- The call id is overwritten by the caller's sidecar (`call_header`), on every route that leads to a
  service of the mesh, so that the application cannot choose it.

`accesslog_entry` reads the lines, `accesslog_call` says what they mean.
"""

from enum import StrEnum
from typing import Final

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption, Metadata
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog

CALL_HEADER: Final = "x-meshwarden-call"
METADATA: Final = "meshwarden"
"""The namespace of our metadata on routes: `destination` and, for refusals, `rule`."""

ENVOY_LOG_FLAGS: Final = ("--file-flush-min-size-kb", "0", "--file-flush-interval-msec", "50")
"""Start every sidecar with these: each entry then reaches the file at once."""


class Kind(StrEnum):
    """Which logger of a sidecar wrote an entry."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    EDGE = "edge"
    INBOUND_TCP = "inbound_tcp"
    OUTBOUND_TCP = "outbound_tcp"
    LISTENER = "listener"


_COMMON: Final = {
    "start": "%START_TIME(%s%9f)%",
    "ms": "%DURATION%",
    "flags": "%RESPONSE_FLAGS%",
    "remote": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "local": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "rx": "%BYTES_RECEIVED%",
    "tx": "%BYTES_SENT%",
}
_HTTP: Final = {
    "ns": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "status": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS_NUMBER%",
    "method": "%REQ(:method):32%",
    "path": "%PATH(NQ:PATH):2048%",
    "type": "%REQ(content-type):64%",
    "call": f"%REQ({CALL_HEADER}):64%",
}
_PEER: Final = {
    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
    "cert": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
    "hs": "%COMMON_DURATION(DS_CX_BEG:DS_HS_END:ns)%",
    "fail": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
}
_TOKEN: Final = {"txn": "%FILTER_STATE(meshwarden.transaction:PLAIN)%"}  # see `containment`
_UPSTREAM: Final = {
    "authority": "%REQ(:authority):280%",
    "to": f"%METADATA(ROUTE:{METADATA}:destination)%",
    "why": f"%METADATA(ROUTE:{METADATA}:rule)%",
    "ufail": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "uremote": "%UPSTREAM_REMOTE_ADDRESS%",
}


def inbound_http(path: str) -> AccessLog:
    """Return the log of requests that came in over mutual TLS (HTTP connection manager)."""
    rule = "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%"
    return _log(path, Kind.INBOUND, _HTTP | _PEER | _TOKEN | {"rule": rule})


def edge_http(path: str) -> AccessLog:
    """Return the log of requests from outside the mesh (HTTP connection manager of an edge)."""
    rule = "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%"
    # Whoever the border announced, where the connection itself comes from the border.
    remote = {"remote": "%DOWNSTREAM_REMOTE_ADDRESS%"}
    entered = {"txn": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:txn)%"}
    return _log(path, Kind.EDGE, _HTTP | {"rule": rule} | remote | entered)


def outbound_http(path: str) -> AccessLog:
    """Return the log of the service's own requests (HTTP connection manager).

    Routes say where they lead by `route_metadata`; those into the mesh carry `call_header`.
    """
    return _log(path, Kind.OUTBOUND, _HTTP | _UPSTREAM)


def inbound_tcp(path: str, *, port: int) -> AccessLog:
    """Return the log of connections to the service's `port` (tcp_proxy; no listener log beside it).

    A network RBAC filter with a `shadow_matcher` equal to its `matcher` makes the deciding rule
    known; without it only refusals name theirs.
    """
    fields = {
        "end": "%CONNECTION_TERMINATION_DETAILS%",
        "rule": "%DYNAMIC_METADATA(envoy.filters.network.rbac:shadow_effective_policy_id)%",
        "port": str(port),
    }
    return _log(path, Kind.INBOUND_TCP, _PEER | fields)


def outbound_tcp(path: str, *, destination: str, port: int) -> AccessLog:
    """Return the log of connections to `port` of the service with the identity `destination`."""
    fields = {
        "to": destination.replace("%", "%%"),
        "port": str(port),
        "ufail": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "ulocal": "%UPSTREAM_LOCAL_ADDRESS%",
        "uremote": "%UPSTREAM_REMOTE_ADDRESS%",
    }
    return _log(path, Kind.OUTBOUND_TCP, fields)


def refused_tcp(path: str, *, rule: str) -> AccessLog:
    """Return the log of the service's own connections that its sidecar lets nowhere."""
    fields = {
        "to": "external:%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
        "port": "%DOWNSTREAM_LOCAL_PORT%",
        "why": rule,
    }
    return _log(path, Kind.OUTBOUND_TCP, fields)


def refused_handshakes(path: str) -> AccessLog:
    """Return the log of a listener with mutual TLS and HTTP inside (`Listener.access_log`).

    Envoy writes a line for every connection; those whose handshake ended well are no calls.
    """
    return _log(path, Kind.LISTENER, _PEER)


def call_header() -> HeaderValueOption:
    """Return what every route into the mesh sets (`request_headers_to_add`): the id of the hop."""
    return HeaderValueOption(
        header=HeaderValue(key=CALL_HEADER, value="%UNIQUE_ID%"),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def route_metadata(destination: str, *, rule: str | None = None) -> Metadata:
    """Return the metadata of an outbound route.

    Args:
        destination: SPIFFE ID of the service that it leads to, or `external:<host>`.
        rule: on a route that refuses by a direct response: the rule or layer that refuses.
    """
    metadata = Metadata()
    metadata.filter_metadata[METADATA].update(
        {"destination": destination} | ({"rule": rule} if rule else {})
    )
    return metadata


def _log(path: str, kind: Kind, fields: dict[str, str]) -> AccessLog:
    file = FileAccessLog(path=path)
    file.log_format.omit_empty_values = True
    file.log_format.json_format.update({"kind": kind.value} | _COMMON | fields)
    log = AccessLog(name="envoy.access_loggers.file")
    # A map in another order would be another version to discovery, and be sent again.
    log.typed_config.Pack(file, deterministic=True)
    return log
