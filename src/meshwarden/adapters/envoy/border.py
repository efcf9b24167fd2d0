"""The border of an isolated mesh: the one Envoy that is in the machine's own network.

It carries octets and understands none: from an edge port to the Unix socket of that service's
sidecar, whom it tells the client's address (PROXY protocol), and from a Unix socket, which one
sidecar alone may open, to the one outside host that it stands for. It holds no key.
"""

from dataclasses import dataclass

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.proxy_protocol_pb2 import ProxyProtocolConfig
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2 import (
    ProxyProtocolUpstreamTransport,
)
from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from google.protobuf.duration_pb2 import Duration

from meshwarden.adapters.envoy import ads
from meshwarden.adapters.envoy.clusters import assignment_of, listening_at
from meshwarden.adapters.envoy.model import Endpoint
from meshwarden.adapters.envoy.tls import packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One way through the border.

    Attributes:
        name: unique.
        listen: where it begins.
        to: where it leads: a Unix socket, or a host (IP address where `fixed`) and port.
        fixed: `to` needs no resolver.
        announce: tell the client's address first.
    """

    name: str
    listen: Endpoint
    to: Endpoint
    fixed: bool = True
    announce: bool = False


def build_border(passages: tuple[Passage, ...]) -> ads.Snapshot:
    """Return all resources of the border."""
    return {
        ads.CLUSTERS: {passage.name: _cluster(passage) for passage in passages},
        ads.LISTENERS: {passage.name: _listener(passage) for passage in passages},
    }


def _listener(passage: Passage) -> Listener:
    proxy = TcpProxy(stat_prefix=passage.name, cluster=passage.name)
    onward = Filter(name="envoy.filters.network.tcp_proxy", typed_config=packed(proxy))
    return Listener(
        name=passage.name,
        address=listening_at(passage.listen),
        filter_chains=[FilterChain(filters=[onward])],
    )


def _cluster(passage: Passage) -> Cluster:
    return Cluster(
        name=passage.name,
        type=Cluster.STATIC if passage.fixed else Cluster.LOGICAL_DNS,
        connect_timeout=Duration(seconds=5),
        load_assignment=assignment_of(passage.name, (passage.to,)),
        transport_socket=_announcing() if passage.announce else None,
    )


def _announcing() -> TransportSocket:
    plain = TransportSocket(
        name="envoy.transport_sockets.raw_buffer", typed_config=packed(RawBuffer())
    )
    announcing = ProxyProtocolUpstreamTransport(
        config=ProxyProtocolConfig(version=ProxyProtocolConfig.V2), transport_socket=plain
    )
    return TransportSocket(
        name="envoy.transport_sockets.upstream_proxy_protocol", typed_config=packed(announcing)
    )
