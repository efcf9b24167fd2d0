"""The route table of an edge, as Envoy gets it."""

import pytest
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import ExtAuthzPerRoute

from meshwarden.adapters.envoy.authorizer.edge_routes import build_edge_routes, parse_edge_paths
from meshwarden.adapters.envoy.authorizer.filters import ENTRY
from meshwarden.kernel import InputError
from meshwarden.tokens.edge import EdgeAccess, EdgeRoute

ROUTE = EdgeRoute(
    name="r", methods=("GET", "POST"), paths=("/a/{id}",), scopes=("a", "b"), body=("amount",)
)


def asked(route: object) -> ExtAuthzPerRoute:
    found = ExtAuthzPerRoute()
    route.typed_per_filter_config[ENTRY].Unpack(found)  # type: ignore[attr-defined]
    return found


def test_each_method_is_a_route_and_what_none_names_reaches_no_service() -> None:
    access = EdgeAccess(routes=(ROUTE,), open=("/idp/**",))
    [host] = build_edge_routes(access).virtual_hosts
    get, post, free, nobody = host.routes
    for one in (get, post):
        settings = asked(one).check_settings
        assert settings.context_extensions["scopes"] == "a b"
        assert settings.with_request_body.max_request_bytes == 16384
        assert not settings.with_request_body.allow_partial_message
    assert asked(free).disabled
    assert nobody.direct_response.status == 404


def test_an_edge_of_which_the_policy_says_nothing_is_its_services_own() -> None:
    [host] = build_edge_routes(None).virtual_hosts
    [only] = host.routes
    assert asked(only).disabled
    assert only.route.cluster == "application"


def test_a_pattern_that_no_request_can_match_is_a_mistake() -> None:
    with pytest.raises(InputError, match="no request can match"):
        parse_edge_paths(EdgeAccess(routes=(), open=("idp",)))
