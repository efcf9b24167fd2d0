"""All xDS resources of one sidecar, from what it is to do, its compiled policy and its secrets."""

from collections.abc import Iterable

from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from meshwarden.adapters.envoy import ads, clusters, listeners
from meshwarden.adapters.envoy.model import Filters, Sidecar


def build_snapshot(sidecar: Sidecar, filters: Filters, secrets: Iterable[Secret]) -> ads.Snapshot:
    """Return all resources of one sidecar."""
    return {
        ads.CLUSTERS: clusters.build_clusters(sidecar),
        ads.ENDPOINTS: clusters.build_endpoints(sidecar),
        ads.SECRETS: {secret.name: secret for secret in secrets},
        ads.FILTERS: listeners.build_filters(sidecar, filters),
        ads.LISTENERS: listeners.build_listeners(sidecar),
        ads.ROUTES: listeners.build_routes(sidecar),
    }
