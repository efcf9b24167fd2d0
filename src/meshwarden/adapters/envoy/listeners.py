"""Where a sidecar listens, and which way each request goes.

- `inbound`: mutual TLS, then the request's transaction token, then the compiled policy, then the
  service. Nothing passes that no rule allows; a filter that has not arrived yet keeps the listener
  shut.
- `inbound/<port>`: the same for connections.
- `federated`, `federated/<port>`: the same for callers of other trust domains, whose certificates
  their own bundles verify.
- `outbound`: the service's own requests, as to an HTTP proxy: by service name over mutual TLS, or
  to a listed outside host (also by CONNECT, end to end). Any other host is refused here.
- `outbound/<service>/<port>`: the service's own connections.
- `redirected`: what an isolated service sent elsewhere, see `redirected`.
- `edge`: from outside, in the clear or over TLS with the user's own certificate. What is let in is
  said by `authorizer.edge_routes`, and where these say nothing by the service. No transaction token
  gets in but the one that the edge asks for.
  Over a Unix socket (isolated) the border announces the client's address.

What is contained (`containment`) is cut off before policy is asked. Requests in flight and
connections are bounded in time, so that neither outlives for long the certificate that began it.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation
from envoy.config.core.v3.address_pb2 import Address
from envoy.config.core.v3.base_pb2 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    TransportSocket,
)
from envoy.config.core.v3.config_source_pb2 import ExtensionConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions
from envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    ListenerFilter,
)
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3 import route_components_pb2 as routes
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import ProxyProtocol
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import (
    TcpProxy,
    UpstreamConnectMode,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3.header_mutation_pb2 import (
    HeaderMutation as EarlyMutation,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.authorizer.codec import JA4
from meshwarden.adapters.envoy.authorizer.edge_routes import EDGE, build_edge_routes
from meshwarden.adapters.envoy.authorizer.filters import (
    entry_filter,
    hold_filter,
    once_filter,
    refusal_log,
    unavailable_reply,
)
from meshwarden.adapters.envoy.clusters import (
    APPLICATION,
    NOTHING,
    address_of,
    application_cluster,
    listening_at,
)
from meshwarden.adapters.envoy.containment import (
    CONTAINMENT,
    Containment,
    containment_resource,
    inbound_filter,
    outbound_filter,
    partners_containment,
    partners_resource,
    peer_filter,
)
from meshwarden.adapters.envoy.model import Callee, Endpoint, Filters, Outside, Sidecar, TcpInbound
from meshwarden.adapters.envoy.redirected import NOT_LISTED, build_redirected
from meshwarden.adapters.envoy.throttle import limit, throttle_filter
from meshwarden.adapters.envoy.tls import (
    BUNDLE,
    FEDERATED_BUNDLES,
    ads_source,
    callee_socket,
    callers_name,
    edge_socket,
    packed,
    partners_name,
)
from meshwarden.adapters.envoy.verification import (
    HEADER,
    TOKENS,
    Verification,
    verification_filter,
    verification_resource,
)
from meshwarden.kernel import EXTERNAL
from meshwarden.policy.targets.envoy.token_headers import HEADERS
from meshwarden.tokens.challenge import unavailable
from meshwarden.tokens.edge import EdgeAccess

INBOUND = "inbound"
OUTBOUND = "outbound"
SHARED = "outbound/shared"
FEDERATED = "federated"
AUTHORIZATION = "authorization"
_HTTP_RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
_NETWORK_RBAC = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
_NO_LIMIT = Duration(seconds=0)
_STREAM_LIMIT = Duration(seconds=3600)
"""A request in flight when its caller is revoked ends by then; an SVID lives as long by default.
Shorter cuts long streams off more often, longer lets a revoked caller keep one that much longer."""
_CONNECTION_LIMIT = Duration(seconds=3600)  # requests in flight are finished first
_TCP_LIMIT = Duration(seconds=24 * 3600)
"""A connection over which a revoked caller sends nothing is not cut by `containment`."""
_PATIENCE: Final = 95
_BACK_OFF: Final = routes.RetryPolicy.RetryBackOff(
    base_interval=Duration(nanos=50_000_000), max_interval=Duration(nanos=300_000_000)
)
"""How often, and after how long, a request to a callee that is being replaced tries to connect: the
pauses are drawn evenly up to the longest, which makes fourteen seconds of all: about as long as a
service waits for an answer. More would keep customers waiting for one that does not come."""
_Manager = hcm.HttpConnectionManager


def build_filters(
    sidecar: Sidecar,
    filters: Filters,
    containment: Containment = NOTHING,
    verification: Verification | None = None,
) -> dict[str, TypedExtensionConfig]:
    """Return what the inbound listeners ask for by name: compiled policy, and what goes before."""
    found = build_policy_filters(sidecar, filters) | build_partner_filters(sidecar, containment)
    if sidecar.inbound:
        found[CONTAINMENT] = containment_resource(containment)
    if sidecar.verifies_tokens and verification is not None:
        found[TOKENS] = verification_resource(verification)
    return found


def build_partner_filters(
    sidecar: Sidecar, containment: Containment
) -> dict[str, TypedExtensionConfig]:
    """Return what is contained of partners' connections, as their listeners ask for it by name."""
    return {
        partners_containment(one.port): partners_resource(one.port, containment.of(*one.partners))
        for one in sidecar.tcp
        if one.federated
    }


def build_policy_filters(sidecar: Sidecar, filters: Filters) -> dict[str, TypedExtensionConfig]:
    """Return the compiled policy as the filters that the inbound listeners ask for by name."""
    named: dict[str, Message] = {AUTHORIZATION: filters.http} if sidecar.inbound else {}
    named |= {
        f"{AUTHORIZATION}/{inbound.port}": filters.tcp[inbound.port] for inbound in sidecar.tcp
    }
    return {
        name: TypedExtensionConfig(name=name, typed_config=packed(message))
        for name, message in named.items()
    }


def build_listeners(sidecar: Sidecar) -> dict[str, Listener]:
    """Return the listeners of `sidecar` by name."""
    log = str(sidecar.access_log)
    found = [_outbound(OUTBOUND, address_of(sidecar.outbound), log)]
    if sidecar.shared:
        found.append(_outbound(SHARED, _shared_at(sidecar.shared), log))
    found += [_outbound_tcp(callee, log) for callee in sidecar.callees if callee.port]
    found += [_inbound_tcp(inbound, log) for inbound in sidecar.tcp if inbound.callers]
    found += [_federated_tcp(inbound, log) for inbound in sidecar.tcp if inbound.federated]
    if sidecar.inbound:
        found.append(_inbound(sidecar))
    if sidecar.federated:
        found.append(_federated(sidecar))
    if sidecar.edge:
        found.append(_edge(sidecar, log))
    if sidecar.redirected:
        found.append(build_redirected(sidecar, log))
    return {listener.name: listener for listener in found}


def build_routes(
    sidecar: Sidecar,
    awaited: Collection[str] = (),
    *,
    rate_per_s: int | None = None,
    access: EdgeAccess | None = None,
) -> dict[str, RouteConfiguration]:
    """Return the outbound routes: one virtual host for each callee and each outside host.

    With them those of the edge, where the sidecar has one: what `access` lets in.

    Requests to the services `awaited` wait some seconds where nobody takes the connection: each is
    just being replaced. `rate_per_s` limits all that the service sends; None: no limit.
    """
    hosts = [
        _callee_host(callee, awaited=callee.service in awaited)
        for callee in sidecar.callees
        if not callee.port
    ]
    hosts += [_outside_host(host) for host in sidecar.outside]
    hosts.append(_refuse_host(sidecar.service))
    edge = build_edge_routes(access) if sidecar.edge and sidecar.authorizer else None
    return ({} if edge is None else {EDGE: edge}) | {
        OUTBOUND: RouteConfiguration(
            name=OUTBOUND,
            typed_per_filter_config=limit(rate_per_s) if rate_per_s is not None else {},
            virtual_hosts=hosts,
            validate_clusters=BoolValue(value=False),
        )
    }


def _inbound(sidecar: Sidecar) -> Listener:
    assert sidecar.inbound  # noqa: S101  # the caller checked
    return _mutual(INBOUND, sidecar, sidecar.inbound, BUNDLE, shows=sidecar.shows_certificate)


def _federated(sidecar: Sidecar) -> Listener:
    """Return the listener of other trust domains: the same policy, other bundles."""
    assert sidecar.federated  # noqa: S101  # the caller checked
    return _mutual(FEDERATED, sidecar, sidecar.federated, FEDERATED_BUNDLES)


def _mutual(
    name: str, sidecar: Sidecar, listen: Endpoint, validation: str, *, shows: bool = False
) -> Listener:
    """Return a listener of requests; `shows`: tell the service the caller's certificate."""
    log = str(sidecar.access_log)
    manager = _manager(
        name,
        accesslog.inbound_http(log),
        filters=[
            *([verification_filter()] if sidecar.verifies_tokens else []),
            peer_filter(),
            _discovered_http(CONTAINMENT),
            _discovered_http(AUTHORIZATION),
            *([once_filter()] if sidecar.authorizer else []),
        ],
        more_logs=[refusal_log()] if sidecar.authorizer else [],
        common_http_protocol_options=HttpProtocolOptions(
            max_connection_duration=_CONNECTION_LIMIT, max_stream_duration=_STREAM_LIMIT
        ),
        route_config=_to_application(
            name, list(HEADERS.values()) if sidecar.verifies_tokens else []
        ),
        forward_client_cert_details=_Manager.SANITIZE_SET,
        set_current_client_cert_details=_Manager.SetCurrentClientCertDetails(uri=True, cert=shows),
    )
    return Listener(
        name=name,
        address=listening_at(listen),
        listener_filters=_announcement(listen),
        access_log=[accesslog.refused_handshakes(log)],
        filter_chains=[_chain([_http(manager)], callee_socket(validation))],
    )


def _inbound_tcp(inbound: TcpInbound, log: str) -> Listener:
    name = f"{INBOUND}/{inbound.port}"
    return _mutual_tcp(name, inbound, inbound.listen, callers_name(inbound.port), log, [])


def _federated_tcp(inbound: TcpInbound, log: str) -> Listener:
    assert inbound.federated  # noqa: S101  # the caller checked
    name = f"{FEDERATED}/{inbound.port}"
    contained = [_discovered_network(partners_containment(inbound.port))]
    return _mutual_tcp(
        name, inbound, inbound.federated, partners_name(inbound.port), log, contained
    )


def _mutual_tcp(
    name: str,
    inbound: TcpInbound,
    listen: Endpoint,
    validation: str,
    log: str,
    contained: list[Filter],
) -> Listener:
    """Return a listener of connections to one port; `contained` filters come before the others."""
    authorization = _discovered_network(f"{AUTHORIZATION}/{inbound.port}")
    record = accesslog.inbound_tcp(log, port=inbound.port)
    proxy = _tcp(name, application_cluster(inbound.port), record, proven=True)
    return Listener(
        name=name,
        address=listening_at(listen),
        listener_filters=_announcement(listen),
        filter_chains=[
            _chain([*contained, inbound_filter(), authorization, proxy], callee_socket(validation))
        ],
    )


def _shared_at(endpoint: Endpoint) -> Address:
    """Return a socket that whoever may pass its directory connects to."""
    address = address_of(endpoint)
    address.pipe.mode = 0o666
    return address


def _outbound(name: str, address: Address, log: str) -> Listener:
    manager = _manager(
        OUTBOUND,
        accesslog.outbound_http(log),
        [throttle_filter()],
        rds=hcm.Rds(config_source=ads_source(), route_config_name=OUTBOUND),
        upgrade_configs=[_Manager.UpgradeConfig(upgrade_type="CONNECT")],
    )
    return Listener(
        name=name,
        address=address,
        filter_chains=[_chain([_http(manager)])],
    )


def _outbound_tcp(callee: Callee, log: str) -> Listener:
    assert callee.local  # noqa: S101  # a callee with a port has a local end
    name = f"{OUTBOUND}/{callee.service}/{callee.port}"
    record = accesslog.outbound_tcp(log, destination=str(callee.identity), port=callee.port or 0)
    proxy = _tcp(name, callee.cluster, record)
    return Listener(
        name=name,
        address=address_of(callee.local),
        filter_chains=[_chain([outbound_filter(), proxy])],
    )


def _edge(sidecar: Sidecar, log: str) -> Listener:
    assert sidecar.edge  # noqa: S101  # the caller checked
    manager = _manager(
        EDGE,
        accesslog.edge_http(log),
        forward_client_cert_details=_Manager.SANITIZE,
        use_remote_address=BoolValue(value=True),
        early_header_mutation_extensions=[_at_first()],
        **(_authorized() if sidecar.authorizer else _unauthorized()),
    )
    return Listener(
        name=EDGE,
        address=listening_at(sidecar.edge),
        listener_filters=_announcement(sidecar.edge) + ([_inspector()] if sidecar.edge_tls else []),
        filter_chains=[_chain([_http(manager)], edge_socket() if sidecar.edge_tls else None)],
    )


def _authorized() -> dict[str, Any]:
    return {
        "filters": [hold_filter(), entry_filter()],
        "rds": hcm.Rds(config_source=ads_source(), route_config_name=EDGE),
        "local_reply_config": unavailable_reply(unavailable("authorizer.unavailable").body),
    }


def _unauthorized() -> dict[str, Any]:
    return {"route_config": _to_application(EDGE, drop=[accesslog.CALL_HEADER, JA4])}


def _at_first() -> TypedExtensionConfig:
    """Return what happens to headers before any filter sees them: forged ones go, JA4 comes."""
    ja4 = HeaderValueOption(
        header=HeaderValue(key=JA4, value="%TLS_JA4_FINGERPRINT%"),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    forged = [HeaderMutation(remove=name) for name in (HEADER, JA4)]
    mutations = [*forged, HeaderMutation(append=ja4)]
    return TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=packed(EarlyMutation(mutations=mutations)),
    )


def _inspector() -> ListenerFilter:
    """Return what fingerprints a customer's TLS handshake."""
    inspector = TlsInspector(enable_ja4_fingerprinting=BoolValue(value=True))
    return ListenerFilter(
        name="envoy.filters.listener.tls_inspector", typed_config=packed(inspector)
    )


def _announcement(listen: Endpoint) -> list[ListenerFilter]:
    """Return what takes the client's address from the border, who comes by a Unix socket."""
    if listen.port:
        return []
    return [
        ListenerFilter(
            name="envoy.filters.listener.proxy_protocol", typed_config=packed(ProxyProtocol())
        )
    ]


def _manager(
    name: str,
    log: AccessLog,
    filters: list[hcm.HttpFilter] | None = None,
    more_logs: Sequence[AccessLog] = (),
    **more: Any,  # noqa: ANN401  # whatever fields the manager has
) -> Message:
    """Return a connection manager that normalizes paths the way policy compares them."""
    manager: Message = _Manager(
        stat_prefix=name,
        access_log=[log, *more_logs],
        http_filters=[*(filters or []), _router()],
        normalize_path=BoolValue(value=True),
        merge_slashes=True,
        path_with_escaped_slashes_action=_Manager.REJECT_REQUEST,
        stream_idle_timeout=Duration(seconds=300),
        request_headers_timeout=Duration(seconds=10),
        server_header_transformation=_Manager.PASS_THROUGH,
        **more,
    )
    return manager


def _router() -> hcm.HttpFilter:
    return hcm.HttpFilter(
        name="envoy.filters.http.router", typed_config=packed(Router(suppress_envoy_headers=True))
    )


def _discovered_http(name: str) -> hcm.HttpFilter:
    source = ExtensionConfigSource(config_source=ads_source(), type_urls=[_HTTP_RBAC])
    return hcm.HttpFilter(name=name, config_discovery=source)


def _discovered_network(name: str) -> Filter:
    source = ExtensionConfigSource(config_source=ads_source(), type_urls=[_NETWORK_RBAC])
    return Filter(name=name, config_discovery=source)


def _http(manager: Message) -> Filter:
    return Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=packed(manager)
    )


def _tcp(name: str, cluster: str, log: AccessLog, *, proven: bool = False) -> Filter:
    """Return a proxy of connections; a `proven` one opens its own after the caller's handshake."""
    proxy = TcpProxy(
        stat_prefix=name,
        cluster=cluster,
        access_log=[log],
        max_downstream_connection_duration=_TCP_LIMIT,
    )
    if proven:
        proxy.upstream_connect_mode = UpstreamConnectMode.ON_DOWNSTREAM_TLS_HANDSHAKE
        proxy.max_early_data_bytes.value = 1 << 16  # read ahead while the service accepts
    return Filter(name="envoy.filters.network.tcp_proxy", typed_config=packed(proxy))


def _chain(filters: list[Filter], socket: TransportSocket | None = None) -> FilterChain:
    return FilterChain(
        filters=filters,
        transport_socket=socket,
        transport_socket_connect_timeout=Duration(seconds=5) if socket else None,
    )


def _to_application(name: str, drop: list[str] | None = None) -> RouteConfiguration:
    route = _forward(APPLICATION)
    host = routes.VirtualHost(name=name, domains=["*"], routes=[route])
    return RouteConfiguration(name=name, virtual_hosts=[host], request_headers_to_remove=drop or [])


def _callee_host(callee: Callee, *, awaited: bool) -> routes.VirtualHost:
    retry = routes.RetryPolicy(  # what was not taken has had no effect
        retry_on="connect-failure,refused-stream",
        num_retries=UInt32Value(value=_PATIENCE if awaited else 2),
        retry_back_off=_BACK_OFF if awaited else None,
    )
    return routes.VirtualHost(
        name=callee.service,
        domains=[callee.service, f"{callee.service}:80"],
        routes=[
            _forward(
                callee.cluster,
                destination=str(callee.identity),
                retry=retry,
                max_stream_duration=routes.RouteAction.MaxStreamDuration(
                    max_stream_duration=_STREAM_LIMIT
                ),
            )
        ],
        # The callee's and the caller's record of one request are joined by this id; whatever the
        # application wrote there is overwritten.
        request_headers_to_add=[accesslog.call_header()],
    )


def _outside_host(host: Outside) -> routes.VirtualHost:
    destination = f"{EXTERNAL}{host.host}"
    tunnel = routes.Route(
        metadata=accesslog.route_metadata(destination),
        match=routes.RouteMatch(connect_matcher=routes.RouteMatch.ConnectMatcher()),
        route=routes.RouteAction(
            cluster=host.cluster,
            timeout=_NO_LIMIT,
            upgrade_configs=[
                routes.RouteAction.UpgradeConfig(
                    upgrade_type="CONNECT",
                    connect_config=routes.RouteAction.UpgradeConfig.ConnectConfig(),
                )
            ],
        ),
    )
    names = [f"{host.host}:{host.port}"] + ([host.host] if host.port == 80 else [])
    return routes.VirtualHost(
        name=names[0],
        domains=names,
        routes=[tunnel, _forward(host.cluster, destination=destination)],
        # The hop inside the mesh is nobody's business outside.
        request_headers_to_remove=[accesslog.CALL_HEADER],
    )


def _refuse_host(service: str) -> routes.VirtualHost:
    body = f"meshwarden: no rule lets {service} call this host\n"
    refusal = routes.DirectResponseAction(status=403, body=DataSource(inline_string=body))
    connect = routes.RouteMatch(connect_matcher=routes.RouteMatch.ConnectMatcher())
    why = accesslog.route_metadata(EXTERNAL, rule=NOT_LISTED)
    return routes.VirtualHost(
        name=NOT_LISTED,
        domains=["*"],
        routes=[
            routes.Route(match=match, direct_response=refusal, metadata=why)
            for match in (connect, routes.RouteMatch(prefix="/"))
        ],
    )


def _forward(
    cluster: str,
    *,
    destination: str | None = None,
    retry: routes.RetryPolicy | None = None,
    max_stream_duration: routes.RouteAction.MaxStreamDuration | None = None,
) -> routes.Route:
    return routes.Route(
        match=routes.RouteMatch(prefix="/"),
        metadata=accesslog.route_metadata(destination) if destination else None,
        route=routes.RouteAction(
            cluster=cluster,
            timeout=_NO_LIMIT,
            retry_policy=retry,
            max_stream_duration=max_stream_duration,
        ),
    )
