"""What an edge lets in, as its route table: the filter that asks learns from it what a route means.

The first route that fits holds; what none names is answered 404 and reaches no service. The table
comes by RDS, so that a change of policy drops no connection. An edge of which the token policy says
nothing leaves every decision to its service.
"""

from dataclasses import dataclass
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.route.v3 import route_components_pb2 as routes
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import ExtAuthzPerRoute
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.wrappers_pb2 import BoolValue

from meshwarden.adapters.envoy import accesslog
from meshwarden.adapters.envoy.authorizer import codec
from meshwarden.adapters.envoy.authorizer.filters import ENTRY
from meshwarden.adapters.envoy.clusters import APPLICATION
from meshwarden.adapters.envoy.tls import packed
from meshwarden.policy import PathPattern
from meshwarden.policy.targets.envoy.patterns import expression
from meshwarden.tokens.edge import MAX_BODY_BYTES, EdgeAccess, EdgeRoute

EDGE: Final = "edge"
NOT_LISTED: Final = "edge:not-listed"
_NO_LIMIT: Final = Duration(seconds=0)
_NOBODY: Final = '{"status": 404, "code": "route.unknown", "detail": "no such page"}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePaths:
    """The path patterns of an edge, parsed: those of each route, and those that are open."""

    routes: tuple[tuple[PathPattern, ...], ...]
    open: tuple[PathPattern, ...]


def parse_edge_paths(access: EdgeAccess) -> EdgePaths:
    """Return the patterns of an edge; InputError `policy.path` where no request can match one."""
    return EdgePaths(
        routes=tuple(
            tuple(PathPattern.parse(text, where=route.where) for text in route.paths)
            for route in access.routes
        ),
        open=tuple(PathPattern.parse(text, where="edge.open") for text in access.open),
    )


def build_edge_routes(access: EdgeAccess | None) -> RouteConfiguration:
    """Return the routes of an edge; None: its service decides."""
    if access is None:
        found = [_to_service(routes.RouteMatch(prefix="/"), _not_asked())]
    else:
        paths = parse_edge_paths(access)
        found = [
            _to_service(match, _asked(route, access))
            for route, patterns in zip(access.routes, paths.routes, strict=True)
            for match in _matches(route.methods, patterns)
        ]
        found += [_to_service(match, _not_asked()) for match in _matches(None, paths.open)]
        found.append(_unknown())
    return RouteConfiguration(
        name=EDGE,
        virtual_hosts=[routes.VirtualHost(name=EDGE, domains=["*"], routes=found)],
        request_headers_to_remove=[accesslog.CALL_HEADER, codec.JA4],
        validate_clusters=BoolValue(value=False),
    )


def _matches(
    methods: tuple[str, ...] | None, patterns: tuple[PathPattern, ...]
) -> list[routes.RouteMatch]:
    if not patterns:
        return []
    match: dict[str, Any] = {"safe_regex": {"regex": expression(patterns)}}
    if methods is None:
        return [ParseDict(match, routes.RouteMatch())]
    return [
        ParseDict(
            match | {"headers": [{"name": ":method", "string_match": {"exact": method}}]},
            routes.RouteMatch(),
        )
        for method in methods
    ]


def _asked(route: EdgeRoute, access: EdgeAccess) -> Packed:
    """Return what a route tells the filter, and the authorizer by it."""
    told = {
        codec.SCOPES: " ".join(route.scopes),
        codec.BODY: " ".join(route.body),
        codec.QUERY: " ".join(route.query),
        codec.HINTS: " ".join(access.hints),
        codec.HOPS: str(access.trusted_hops),
    }
    settings: dict[str, Any] = {"context_extensions": told}
    if route.body:
        settings["with_request_body"] = {"max_request_bytes": MAX_BODY_BYTES, "pack_as_bytes": True}
    return _per_route({"check_settings": settings})


def _not_asked() -> Packed:
    return _per_route({"disabled": True})


def _per_route(config: dict[str, Any]) -> Packed:
    return packed(ParseDict(config, ExtAuthzPerRoute()))


def _to_service(match: routes.RouteMatch, asked: Packed) -> routes.Route:
    return routes.Route(
        match=match,
        route=routes.RouteAction(cluster=APPLICATION, timeout=_NO_LIMIT),
        typed_per_filter_config={ENTRY: asked},
    )


def _unknown() -> routes.Route:
    return routes.Route(
        match=routes.RouteMatch(prefix="/"),
        direct_response=routes.DirectResponseAction(
            status=404, body=DataSource(inline_string=_NOBODY)
        ),
        metadata=accesslog.route_metadata("", rule=NOT_LISTED),
        typed_per_filter_config={ENTRY: _not_asked()},
    )
