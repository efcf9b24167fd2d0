"""Where requests go: to the service itself, to the callees and outside hosts that policy allows.

Any other host is refused, in the name of the rule `NOT_LISTED`.
"""

from collections.abc import Collection, Sequence
from typing import Final

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.route.v3 import route_components_pb2 as routes
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.authorizer.edge_routes import EDGE, build_edge_routes
from meshwarden.adapters.envoy.clusters import APPLICATION
from meshwarden.adapters.envoy.listeners.redirected import NOT_LISTED
from meshwarden.adapters.envoy.model import Callee, Outside, Sidecar
from meshwarden.adapters.envoy.throttle import limit
from meshwarden.kernel import EXTERNAL
from meshwarden.tokens.edge import EdgeAccess

OUTBOUND: Final = "outbound"
STREAM_LIMIT: Final = Duration(seconds=3600)
"""A request in flight when its caller is revoked ends by then; an SVID lives as long by default.
Shorter cuts long streams off more often, longer lets a revoked caller keep one that much longer."""
_NO_LIMIT: Final = Duration(seconds=0)
_PATIENCE: Final = 95
_BACK_OFF: Final = routes.RetryPolicy.RetryBackOff(
    base_interval=Duration(nanos=50_000_000), max_interval=Duration(nanos=300_000_000)
)
"""How often, and after how long, a request to a callee that is being replaced tries to connect: the
pauses are drawn evenly up to the longest, which makes fourteen seconds of all: about as long as a
service waits for an answer. More would keep customers waiting for one that does not come."""


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


def to_application(name: str, drop: Sequence[str] = ()) -> RouteConfiguration:
    """Return the routes that lead to the service, whatever the host, without the headers `drop`."""
    route = _forward(APPLICATION)
    host = routes.VirtualHost(name=name, domains=["*"], routes=[route])
    return RouteConfiguration(name=name, virtual_hosts=[host], request_headers_to_remove=drop)


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
                    max_stream_duration=STREAM_LIMIT
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
