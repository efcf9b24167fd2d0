"""What listeners are made of: the manager of requests, the proxy of connections, their chain."""

from collections.abc import Sequence
from typing import Any, Final

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.config_source_pb2 import ExtensionConfigSource
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, ListenerFilter
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import ProxyProtocol
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from meshwarden.adapters.envoy.model import Endpoint
from meshwarden.adapters.envoy.tls import ads_source, packed

_HTTP_RBAC: Final = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
_NETWORK_RBAC: Final = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
_TCP_LIMIT: Final = Duration(seconds=24 * 3600)
"""A connection over which a revoked caller sends nothing is not cut by `containment`."""
_Manager = hcm.HttpConnectionManager


def http_proxy(
    name: str,
    log: AccessLog,
    filters: Sequence[hcm.HttpFilter] = (),
    more_logs: Sequence[AccessLog] = (),
    **more: Any,  # noqa: ANN401  # whatever fields the manager has
) -> Filter:
    """Return a connection manager that normalizes paths the way policy compares them."""
    manager: Message = _Manager(
        stat_prefix=name,
        access_log=[log, *more_logs],
        http_filters=[*filters, _router()],
        normalize_path=BoolValue(value=True),
        merge_slashes=True,
        path_with_escaped_slashes_action=_Manager.REJECT_REQUEST,
        stream_idle_timeout=Duration(seconds=300),
        request_headers_timeout=Duration(seconds=10),
        server_header_transformation=_Manager.PASS_THROUGH,
        **more,
    )
    return Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=packed(manager)
    )


def _router() -> hcm.HttpFilter:
    return hcm.HttpFilter(
        name="envoy.filters.http.router", typed_config=packed(Router(suppress_envoy_headers=True))
    )


def tcp_proxy(
    name: str,
    cluster: str,
    log: AccessLog,
    **more: Any,  # noqa: ANN401  # whatever fields the proxy has
) -> Filter:
    """Return a proxy of connections."""
    proxy = TcpProxy(
        stat_prefix=name,
        cluster=cluster,
        access_log=[log],
        max_downstream_connection_duration=_TCP_LIMIT,
        **more,
    )
    return Filter(name="envoy.filters.network.tcp_proxy", typed_config=packed(proxy))


def discovered_http(name: str) -> hcm.HttpFilter:
    """Return a filter of requests that arrives by name."""
    source = ExtensionConfigSource(config_source=ads_source(), type_urls=[_HTTP_RBAC])
    return hcm.HttpFilter(name=name, config_discovery=source)


def discovered_network(name: str) -> Filter:
    """Return a filter of connections that arrives by name."""
    source = ExtensionConfigSource(config_source=ads_source(), type_urls=[_NETWORK_RBAC])
    return Filter(name=name, config_discovery=source)


def chain(filters: Sequence[Filter], socket: TransportSocket | None = None) -> FilterChain:
    """Return the filters of a connection; with `socket`, after the handshake."""
    return FilterChain(
        filters=filters,
        transport_socket=socket,
        transport_socket_connect_timeout=Duration(seconds=5) if socket else None,
    )


def announcement(listen: Endpoint) -> list[ListenerFilter]:
    """Return what takes the client's address from the border, who comes by a Unix socket."""
    if listen.port:
        return []
    return [
        ListenerFilter(
            name="envoy.filters.listener.proxy_protocol", typed_config=packed(ProxyProtocol())
        )
    ]
