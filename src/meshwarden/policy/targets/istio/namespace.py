"""What each namespace of the policy needs, whatever its services accept."""

from collections.abc import Iterator
from typing import Any, Final

from meshwarden.policy.path import CLEAN_PATH
from meshwarden.policy.targets.cluster import Cluster
from meshwarden.policy.targets.manifest import Manifest, manifest

_HCM: Final = "envoy.filters.network.http_connection_manager"
_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions.filters"
_INBOUND: Final = {
    "context": "SIDECAR_INBOUND",
    "listener": {"filterChain": {"filter": {"name": _HCM}}},
}


def namespace_objects(namespace: str, cluster: Cluster) -> Iterator[Manifest]:
    """Yield mutual TLS without exception, nothing allowed, clean paths, and the access log."""
    security = "security.istio.io/v1"
    strict = {"mtls": {"mode": "STRICT"}}
    yield manifest(security, "PeerAuthentication", "default", namespace, strict)
    yield manifest(security, "AuthorizationPolicy", "meshwarden-allow-nothing", namespace, {})
    yield manifest(
        "networking.istio.io/v1alpha3", "EnvoyFilter", "meshwarden-paths", namespace, _paths()
    )
    if cluster.log_provider is not None:
        logging = {"accessLogging": [{"providers": [{"name": cluster.log_provider}]}]}
        yield manifest("telemetry.istio.io/v1", "Telemetry", "meshwarden", namespace, logging)


def _paths() -> dict[str, Any]:
    """Return what makes a path mean what it means to the policy: docs/decisions/0002."""
    manager = {
        "@type": f"{_EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }
    clean = {"url_path": {"path": {"safe_regex": {"regex": CLEAN_PATH}}}}
    unclean = {"permissions": [{"not_rule": clean}], "principals": [{"any": True}]}
    refusal = {
        "@type": f"{_EXTENSIONS}.http.rbac.v3.RBAC",
        "rules": {"action": "DENY", "policies": {"unclean_path": unclean}},
    }
    first = {"name": "meshwarden.clean_path", "typed_config": refusal}
    patches = [
        ("NETWORK_FILTER", {"operation": "MERGE", "value": {"typed_config": manager}}),
        ("HTTP_FILTER", {"operation": "INSERT_FIRST", "value": first}),
    ]
    return {
        "configPatches": [
            {"applyTo": place, "match": _INBOUND, "patch": patch} for place, patch in patches
        ]
    }
