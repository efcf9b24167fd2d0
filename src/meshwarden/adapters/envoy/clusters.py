"""Where a sidecar sends: its own service, the callees that policy allows, listed outside hosts.

Requests keep the protocol they came in (HTTP/1.1 or HTTP/2) on every leg, so that neither side
needs to be told what the other speaks. Endpoints come by EDS, those of the service's own ports too:
they can be taken away, and connections to them be cut (`containment`), without touching the
cluster.
"""

from collections.abc import Mapping
from typing import Final

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, BindConfig, Pipe, SocketAddress
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint as LbEndpointAddress
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.v3.percent_pb2 import Percent
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from meshwarden.adapters.envoy.authorizer.filters import authorizer_cluster
from meshwarden.adapters.envoy.containment import Containment, endpoint_metadata
from meshwarden.adapters.envoy.model import Callee, Endpoint, Outside, Sidecar
from meshwarden.adapters.envoy.tls import (
    FEDERATED_BUNDLES,
    ads_source,
    caller_socket,
    packed,
)

APPLICATION = "application"
NOTHING: Final = Containment()
_CONNECT_TIMEOUT = Duration(seconds=2)
_PATIENT: Final = CircuitBreakers(
    thresholds=[CircuitBreakers.Thresholds(max_retries=UInt32Value(value=1024))]
)
"""Each request that waits for a callee counts as a retry; Envoy's own bound is three."""
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def application_cluster(port: int | None = None) -> str:
    """Return the name of the service's own cluster, for requests or for one port of connections."""
    return APPLICATION if port is None else f"{APPLICATION}/{port}"


def address_of(endpoint: Endpoint) -> Address:
    """Return an Envoy address."""
    if endpoint.port:
        socket = SocketAddress(address=endpoint.address, port_value=endpoint.port)
        return Address(socket_address=socket)
    return Address(pipe=Pipe(path=endpoint.address))


def listening_at(endpoint: Endpoint) -> Address:
    """Return an Envoy address to listen on; on a Unix socket, the group may connect too."""
    address = address_of(endpoint)
    if not endpoint.port:
        address.pipe.mode = 0o660
    return address


def build_clusters(sidecar: Sidecar) -> dict[str, Cluster]:
    """Return the clusters of `sidecar` by name."""
    found = [_application(sidecar.application)] if sidecar.application else []
    found += [_application(inbound.application, inbound.port) for inbound in sidecar.tcp]
    source = sidecar.source or sidecar.outbound.address
    found += [_callee(callee, source) for callee in sidecar.callees]
    found += [_outside(host) for host in sidecar.outside]
    if sidecar.authorizer:
        found.append(authorizer_cluster(sidecar.authorizer))
    return {cluster.name: cluster for cluster in found}


def build_endpoints(
    sidecar: Sidecar, containment: Containment = NOTHING
) -> dict[str, ClusterLoadAssignment]:
    """Return where the callees and the own ports of `sidecar` are, by cluster.

    Each endpoint carries the revoked certificates that connections to it may show. A callee that
    has no certificate that counts is there, but nobody is sent to it: a removed endpoint could no
    longer say which of its open connections to close.
    """
    own = {
        name: _contained(assignment_of(name, (inbound.application,)), containment.certificates)
        for inbound in sidecar.tcp
        if (name := application_cluster(inbound.port))
    }
    return own | {
        callee.cluster: _contained(
            assignment_of(callee.cluster, callee.endpoints),
            containment.of(callee.identity, sidecar.identity),
            withheld=callee.service in containment.withheld,
        )
        for callee in sidecar.callees
    }


def _contained(
    assignment: ClusterLoadAssignment, certificates: Mapping[str, str], *, withheld: bool = False
) -> ClusterLoadAssignment:
    for place in assignment.endpoints[0].lb_endpoints:
        place.metadata.CopyFrom(endpoint_metadata(certificates))
        place.health_status = HealthStatus.UNHEALTHY if withheld else HealthStatus.UNKNOWN
    return assignment


def _application(endpoint: Endpoint, port: int | None = None) -> Cluster:
    name = application_cluster(port)
    if port is not None:
        return Cluster(
            name=name,
            type=Cluster.EDS,
            eds_cluster_config=Cluster.EdsClusterConfig(eds_config=ads_source()),
            connect_timeout=_CONNECT_TIMEOUT,
        )
    return Cluster(
        name=name,
        type=Cluster.STATIC,
        connect_timeout=_CONNECT_TIMEOUT,
        load_assignment=assignment_of(name, (endpoint,)),
        typed_extension_protocol_options=_same_protocol(),
    )


def _callee(callee: Callee, source: str) -> Cluster:
    own_address = BindConfig(source_address=SocketAddress(address=source, port_value=0))
    return Cluster(
        name=callee.cluster,
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(eds_config=ads_source()),
        connect_timeout=_CONNECT_TIMEOUT,
        transport_socket=caller_socket(callee.identity),
        upstream_bind_config=own_address,  # callees see which sidecar connects
        common_lb_config=Cluster.CommonLbConfig(
            # A callee that is withheld gets nothing, also where it is the only one.
            healthy_panic_threshold=Percent(value=0),
            close_connections_on_host_set_change=True,
        ),
        circuit_breakers=_PATIENT,
        typed_extension_protocol_options={} if callee.port else _same_protocol(),
    )


def _outside(host: Outside) -> Cluster:
    endpoint = host.address or Endpoint(address=host.host, port=host.port)
    return Cluster(
        name=host.cluster,
        type=Cluster.STATIC if host.address else Cluster.LOGICAL_DNS,
        connect_timeout=Duration(seconds=5),
        load_assignment=assignment_of(host.cluster, (endpoint,)),
        transport_socket=caller_socket(host.identity, FEDERATED_BUNDLES) if host.identity else None,
    )


def assignment_of(cluster: str, endpoints: tuple[Endpoint, ...]) -> ClusterLoadAssignment:
    """Return the load assignment of `cluster`: all of `endpoints`, alike."""
    places = [
        LbEndpoint(endpoint=LbEndpointAddress(address=address_of(endpoint)))
        for endpoint in endpoints
    ]
    return ClusterLoadAssignment(
        cluster_name=cluster, endpoints=[LocalityLbEndpoints(lb_endpoints=places)]
    )


def _same_protocol() -> dict[str, object]:
    options = HttpProtocolOptions(
        use_downstream_protocol_config=HttpProtocolOptions.UseDownstreamHttpConfig(
            http_protocol_options=Http1ProtocolOptions(),
            http2_protocol_options=Http2ProtocolOptions(),
        )
    )
    return {_HTTP_OPTIONS: packed(options)}
