"""All xDS resources of one sidecar, from what it is to do, its compiled policy and its secrets."""

from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from meshwarden.adapters.envoy import ads, clusters, listeners
from meshwarden.adapters.envoy.model import Filters, Sidecar
from meshwarden.adapters.envoy.tls import bundle_secret, callers_secret


def build_snapshot(
    sidecar: Sidecar,
    filters: Filters,
    *,
    svid: Secret,
    bundle: str,
    federated: Secret | None = None,
) -> ads.Snapshot:
    """Return all resources of one sidecar.

    Args:
        sidecar: what it is to do.
        filters: its service's compiled policy.
        svid: its own certificate and key.
        bundle: the trust domain's roots (PEM).
        federated: the roots of other trust domains; needed where the sidecar takes their callers.
    """
    secrets = [svid]
    if sidecar.inbound or sidecar.callees:
        secrets.append(bundle_secret(bundle))
    secrets += [callers_secret(bundle, one.port, one.callers) for one in sidecar.tcp]
    if sidecar.federated and federated is not None:
        secrets.append(federated)
    return {
        ads.CLUSTERS: clusters.build_clusters(sidecar),
        ads.ENDPOINTS: clusters.build_endpoints(sidecar),
        ads.SECRETS: {secret.name: secret for secret in secrets},
        ads.FILTERS: listeners.build_filters(sidecar, filters),
        ads.LISTENERS: listeners.build_listeners(sidecar),
        ads.ROUTES: listeners.build_routes(sidecar),
    }
