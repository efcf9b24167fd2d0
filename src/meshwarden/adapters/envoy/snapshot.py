"""All xDS resources of one sidecar, from what it is to do, its compiled policy and its secrets."""

from collections.abc import Mapping

from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from meshwarden.adapters.envoy import ads, clusters, listeners
from meshwarden.adapters.envoy.containment import Containment
from meshwarden.adapters.envoy.model import Filters, Sidecar
from meshwarden.adapters.envoy.tls import bundle_secret, callers_secret, partners_secret
from meshwarden.adapters.envoy.verification import Verification


def build_snapshot(  # noqa: PLR0913  # what each kind of resource is made of
    sidecar: Sidecar,
    filters: Filters,
    *,
    svid: Secret,
    bundle: str,
    crls: str = "",
    containment: Containment = clusters.NOTHING,
    federated: Secret | None = None,
    verification: Verification | None = None,
    routes: Mapping[str, RouteConfiguration] | None = None,
    edge: Secret | None = None,
) -> ads.Snapshot:
    """Return all resources of one sidecar.

    Args:
        sidecar: what it is to do.
        filters: its service's compiled policy.
        svid: its own certificate and key.
        bundle: the trust domain's roots (PEM).
        crls: the revocation list of each of its issuers (PEM); none where nobody shall look.
        containment: what is cut off in spite of policy.
        routes: its outbound routes, where they are other than usual.
        edge: what its edge shows customers; None where that listens in the clear.
        federated: the roots of other trust domains; needed where the sidecar meets any of theirs.
        verification: what tokens are verified with; needed where the sidecar verifies any.
    """
    secrets = [svid, *build_trust(sidecar, bundle, crls)]
    if edge is not None:
        secrets.append(edge)
    if federated is not None:
        secrets += build_federated(sidecar, federated)
    return {
        ads.CLUSTERS: clusters.build_clusters(sidecar),
        ads.ENDPOINTS: clusters.build_endpoints(sidecar, containment),
        ads.SECRETS: {secret.name: secret for secret in secrets},
        ads.FILTERS: listeners.build_filters(sidecar, filters, containment, verification),
        ads.LISTENERS: listeners.build_listeners(sidecar),
        ads.ROUTES: listeners.build_routes(sidecar) if routes is None else routes,
    }


def build_trust(sidecar: Sidecar, bundle: str, crls: str) -> list[Secret]:
    """Return what one sidecar verifies its peers with; arguments as for `build_snapshot`."""
    found = [bundle_secret(bundle, crls)] if sidecar.inbound or sidecar.callees else []
    return found + [
        callers_secret(bundle, one.port, one.callers, crls) for one in sidecar.tcp if one.callers
    ]


def build_federated(sidecar: Sidecar, federated: Secret) -> list[Secret]:
    """Return what one sidecar verifies workloads of other trust domains with, if it meets any."""
    found = [federated] if sidecar.meets_others else []
    return found + [
        partners_secret(federated, one.port, one.partners) for one in sidecar.tcp if one.federated
    ]
