"""Connections of an isolated service that its firewall turned over to its sidecar.

The kernel remembers where each was meant to go (`original_dst`); here is decided whether it may:

- to the address and port of a `tcp` service that policy lets it call: over mutual TLS, as if sent
  to the clear port for it;
- to a listed outside host: by address and port, on 443 also only where the server name (SNI) that
  the client asks for is that host's, since the name is all that a TLS server goes by;
- anything else is closed at once, and recorded.

Requests to port 80 do not come here, the firewall turns them over to `outbound`.
"""

from collections.abc import Sequence

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.core.v3.address_pb2 import CidrRange
from envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    ListenerFilter,
    ListenerFilterChainMatchPredicate,
)
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.type.v3.range_pb2 import Int32Range
from google.protobuf.wrappers_pb2 import UInt32Value

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.clusters import address_of
from meshwarden.adapters.envoy.model import Endpoint, Sidecar
from meshwarden.adapters.envoy.tls import packed
from meshwarden.kernel import EXTERNAL

REDIRECTED = "redirected"
NOT_LISTED = "egress:not-listed"
_HTTP_PORT = 80
_TLS_PORT = 443


def build_redirected(sidecar: Sidecar, listen: Endpoint) -> Listener:
    """Return the listener of connections that the service did not address to its sidecar."""
    log = str(sidecar.access_log)
    chains = [
        _chain(
            callee.cluster,
            accesslog.outbound_tcp(log, destination=str(callee.identity), port=callee.port),
            _to(callee.at, callee.port),
        )
        for callee in sidecar.callees
        if callee.port and callee.at
    ]
    chains += [
        _chain(
            host.cluster,
            accesslog.outbound_tcp(log, destination=f"{EXTERNAL}{host.host}", port=host.port),
            _to(host.at, host.port, names=[host.host] if host.port == _TLS_PORT else []),
        )
        for host in sidecar.outside
        if host.at and host.port != _HTTP_PORT
    ]
    # The cluster of this name does not exist: the connection is closed.
    refuse = _chain(NOT_LISTED, accesslog.refused_tcp(log, rule=NOT_LISTED), None)
    return Listener(
        name=REDIRECTED,
        address=address_of(listen),
        listener_filters=[
            ListenerFilter(
                name="envoy.filters.listener.original_dst", typed_config=packed(OriginalDst())
            ),
            ListenerFilter(
                name="envoy.filters.listener.tls_inspector",
                typed_config=packed(TlsInspector()),
                filter_disabled=_not_port(_TLS_PORT),  # it would wait where the server speaks first
            ),
        ],
        filter_chains=chains,
        default_filter_chain=refuse,
    )


def _to(address: str, port: int, names: Sequence[str] = ()) -> FilterChainMatch:
    return FilterChainMatch(
        prefix_ranges=[CidrRange(address_prefix=address, prefix_len=UInt32Value(value=32))],
        destination_port=UInt32Value(value=port),
        server_names=names,
    )


def _chain(cluster: str, log: AccessLog, match: FilterChainMatch | None) -> FilterChain:
    name = f"{REDIRECTED}/{cluster}"
    proxy = TcpProxy(stat_prefix=name, cluster=cluster, access_log=[log])
    onward = Filter(name="envoy.filters.network.tcp_proxy", typed_config=packed(proxy))
    return FilterChain(name=name, filter_chain_match=match, filters=[onward])


def _not_port(port: int) -> ListenerFilterChainMatchPredicate:
    this = ListenerFilterChainMatchPredicate(
        destination_port_range=Int32Range(start=port, end=port + 1)
    )
    return ListenerFilterChainMatchPredicate(not_match=this)
