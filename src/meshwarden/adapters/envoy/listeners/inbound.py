"""Where callers arrive: mutual TLS, the token, what is contained, policy; then the service.

Callers of other trust domains have listeners of their own (`federated`), with the same policy and
other bundles.
"""

from typing import Final

from envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import UpstreamConnectMode
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.authorizer.filters import once_filter, refusal_log
from meshwarden.adapters.envoy.clusters import application_cluster, listening_at
from meshwarden.adapters.envoy.containment import (
    CONTAINMENT,
    inbound_filter,
    partners_containment,
    peer_filter,
)
from meshwarden.adapters.envoy.listeners.filters import AUTHORIZATION, authorization
from meshwarden.adapters.envoy.listeners.parts import (
    announcement,
    chain,
    discovered_http,
    discovered_network,
    http_proxy,
    tcp_proxy,
)
from meshwarden.adapters.envoy.listeners.routes import STREAM_LIMIT, to_application
from meshwarden.adapters.envoy.model import Endpoint, Sidecar, TcpInbound
from meshwarden.adapters.envoy.tls import (
    BUNDLE,
    FEDERATED_BUNDLES,
    callee_socket,
    callers_name,
    partners_name,
)
from meshwarden.adapters.envoy.verification import verification_filter
from meshwarden.policy.targets.envoy.token_headers import HEADERS

INBOUND: Final = "inbound"
FEDERATED: Final = "federated"
_CONNECTION_LIMIT: Final = Duration(seconds=3600)  # requests in flight are finished first
_EARLY_BYTES: Final = 1 << 16
_Manager = hcm.HttpConnectionManager


def build_inbound(sidecar: Sidecar) -> list[Listener]:
    """Return the listeners of other workloads' connections, and of their requests."""
    log = str(sidecar.access_log)
    found = [_own_tcp(one, log) for one in sidecar.tcp if one.callers]
    found += [_partners_tcp(one, one.federated, log) for one in sidecar.tcp if one.federated]
    if sidecar.inbound:
        shows = sidecar.shows_certificate
        found.append(_requests(INBOUND, sidecar, sidecar.inbound, BUNDLE, shows=shows))
    if sidecar.federated:
        found.append(_requests(FEDERATED, sidecar, sidecar.federated, FEDERATED_BUNDLES))
    return found


def _requests(
    name: str, sidecar: Sidecar, listen: Endpoint, validation: str, *, shows: bool = False
) -> Listener:
    """Return a listener of requests; `shows`: tell the service the caller's certificate."""
    log = str(sidecar.access_log)
    manager = http_proxy(
        name,
        accesslog.inbound_http(log),
        filters=_filters(sidecar),
        more_logs=[refusal_log()] if sidecar.authorizer else [],
        common_http_protocol_options=HttpProtocolOptions(
            max_connection_duration=_CONNECTION_LIMIT, max_stream_duration=STREAM_LIMIT
        ),
        route_config=to_application(
            name, list(HEADERS.values()) if sidecar.verifies_tokens else []
        ),
        forward_client_cert_details=_Manager.SANITIZE_SET,
        set_current_client_cert_details=_Manager.SetCurrentClientCertDetails(uri=True, cert=shows),
    )
    return Listener(
        name=name,
        address=listening_at(listen),
        listener_filters=announcement(listen),
        access_log=[accesslog.refused_handshakes(log)],
        filter_chains=[chain([manager], callee_socket(validation))],
    )


def _filters(sidecar: Sidecar) -> list[hcm.HttpFilter]:
    """Return what a request passes, in that order."""
    return [
        *([verification_filter()] if sidecar.verifies_tokens else []),
        peer_filter(),
        discovered_http(CONTAINMENT),
        discovered_http(AUTHORIZATION),
        *([once_filter()] if sidecar.authorizer else []),
    ]


def _own_tcp(inbound: TcpInbound, log: str) -> Listener:
    name = f"{INBOUND}/{inbound.port}"
    return _connections(name, inbound, inbound.listen, callers_name(inbound.port), log)


def _partners_tcp(inbound: TcpInbound, listen: Endpoint, log: str) -> Listener:
    name = f"{FEDERATED}/{inbound.port}"
    contained = [discovered_network(partners_containment(inbound.port))]
    return _connections(name, inbound, listen, partners_name(inbound.port), log, contained)


def _connections(
    name: str,
    inbound: TcpInbound,
    listen: Endpoint,
    validation: str,
    log: str,
    contained: list[Filter] | None = None,
) -> Listener:
    """Return a listener of connections to one port; `contained` filters come before the others."""
    passed = [inbound_filter(), discovered_network(authorization(inbound.port))]
    # It opens its own connection after the caller's handshake, and reads ahead meanwhile.
    onward = tcp_proxy(
        name,
        application_cluster(inbound.port),
        accesslog.inbound_tcp(log, port=inbound.port),
        upstream_connect_mode=UpstreamConnectMode.ON_DOWNSTREAM_TLS_HANDSHAKE,
        max_early_data_bytes=UInt32Value(value=_EARLY_BYTES),
    )
    filters = [*(contained or []), *passed, onward]
    return Listener(
        name=name,
        address=listening_at(listen),
        listener_filters=announcement(listen),
        filter_chains=[chain(filters, callee_socket(validation))],
    )
