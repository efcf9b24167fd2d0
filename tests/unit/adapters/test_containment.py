"""What sidecars are told about revoked certificates: filters, endpoints, bounds in time."""

from pathlib import Path

from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from xds.type.matcher.v3.matcher_pb2 import Matcher

from meshwarden.adapters.envoy.clusters import build_clusters, build_endpoints
from meshwarden.adapters.envoy.containment import Containment, containment_resource
from meshwarden.adapters.envoy.listeners import build_listeners, build_routes
from meshwarden.adapters.envoy.model import Callee, Endpoint, Sidecar, TcpInbound
from meshwarden.kernel import SpiffeId

DOMAIN = "spiffe://test.example"
FRONT, BACK, OTHER = (SpiffeId.parse(f"{DOMAIN}/{name}") for name in ("front", "back", "other"))
SIDECAR = Sidecar(
    service="front",
    identity=FRONT,
    inbound=Endpoint(address="127.1.1.1", port=15443),
    outbound=Endpoint(address="127.1.1.1", port=15001),
    edge=None,
    application=Endpoint(address="/app.sock"),
    tcp=(
        TcpInbound(
            port=5432,
            callers=(BACK,),
            listen=Endpoint(address="127.1.1.1", port=25432),
            application=Endpoint(address="/app.sock"),
        ),
    ),
    callees=(
        Callee(
            service="back", identity=BACK, endpoints=(Endpoint(address="127.1.1.2", port=15443),)
        ),
    ),
    outside=(),
    access_log=Path("/log"),
)


def matcher_of(containment: Containment) -> Matcher:
    """Return what is asked after it is known that the request has at most one token."""
    found = RBAC()
    containment_resource(containment).typed_config.Unpack(found)
    return found.matcher.on_no_match.matcher


def metadata(containment: Containment, cluster: str) -> set[str]:
    """Return the digests that the cluster's endpoint carries."""
    [place] = build_endpoints(SIDECAR, containment)[cluster].endpoints[0].lb_endpoints
    return set(place.metadata.filter_metadata["meshwarden.certificates"].fields)


def test_nothing_contained_is_a_filter_that_lets_everything_pass() -> None:
    matcher = matcher_of(Containment())
    assert not matcher.HasField("matcher_tree")
    assert matcher.HasField("on_no_match")  # without it, Envoy denies


def test_the_filter_depends_on_what_is_contained_and_not_on_its_order() -> None:
    one = Containment(certificates={"a": str(BACK), "b": str(FRONT)})
    other = Containment(certificates={"b": str(FRONT), "a": str(BACK)})
    assert containment_resource(one) == containment_resource(other)
    assert set(matcher_of(one).matcher_tree.exact_match_map.map) == {"a", "b"}


def test_endpoints_carry_only_what_connections_to_them_may_show() -> None:
    contained = Containment(certificates={"a": str(BACK), "b": str(FRONT), "c": str(OTHER)})
    assert metadata(contained, "service/back") == {"a", "b"}
    assert metadata(contained, "application/5432") == {"a", "b", "c"}


def test_a_withheld_callee_is_there_but_gets_nothing() -> None:
    [place] = (
        build_endpoints(SIDECAR, Containment(withheld=frozenset({"back"})))["service/back"]
        .endpoints[0]
        .lb_endpoints
    )
    assert place.health_status == HealthStatus.UNHEALTHY
    cluster = build_clusters(SIDECAR)["service/back"].common_lb_config
    assert cluster.healthy_panic_threshold.value == 0
    assert cluster.close_connections_on_host_set_change


def test_requests_and_connections_are_bounded_in_time() -> None:
    manager = hcm.HttpConnectionManager()
    build_listeners(SIDECAR)["inbound"].filter_chains[0].filters[0].typed_config.Unpack(manager)
    bounds = manager.common_http_protocol_options
    assert bounds.max_stream_duration.seconds == bounds.max_connection_duration.seconds == 3600
    [host] = [one for one in build_routes(SIDECAR)["outbound"].virtual_hosts if one.name == "back"]
    assert host.routes[0].route.max_stream_duration.max_stream_duration.seconds == 3600
