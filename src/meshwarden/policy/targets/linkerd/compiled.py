"""All objects of a policy, one file for each service and each namespace."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import AccessPolicy, Rule, Service
from meshwarden.policy.targets.cluster import (
    DEFAULT,
    Cluster,
    Place,
    about_services,
    chosen,
    place_of,
    placed,
)
from meshwarden.policy.targets.linkerd.patterns import UNCLEAN, expression
from meshwarden.policy.targets.linkerd.routes import Route, routes_of
from meshwarden.policy.targets.linkerd.unexpressed import TARGET, lost_of
from meshwarden.policy.targets.manifest import Compiled, Manifest, manifest, of_service
from meshwarden.policy.targets.unexpressed import Unexpressed

POLICY: Final = "policy.linkerd.io/v1alpha1"
BETA: Final = "policy.linkerd.io/v1beta3"
GROUP: Final = "policy.linkerd.io"
MATCHES: Final = 8
"""Matches in one rule of an HTTPRoute, and `RULES` in one HTTPRoute: by its schema."""
RULES: Final = 16

REMARKS: Final = (
    "paths are compared as they are sent: one that is not in its normal form is refused",
    "who connects to hosts outside is not limited: compile to networkpolicy as well",
    "a probe of the kubelet on the requests' port is refused: give probes a port of their own",
)


def compile_policy(
    policy: AccessPolicy, cluster: Cluster = DEFAULT, service_name: str | None = None
) -> Compiled:
    """Return Linkerd's objects for one service (for all, where None)."""
    services = chosen(policy, service_name)
    lost: list[Unexpressed] = [*about_services(TARGET, services)]
    files: dict[str, Any] = {}
    for service, place in placed(services):
        routes = routes_of(_expressible(service))
        lost += lost_of(service, routes, cluster)
        files[f"namespace.{place.namespace}.yaml"] = [_namespace(place.namespace)]
        files[f"{service.name}.yaml"] = [
            of_service(made, service) for made in _objects(service, place, routes, cluster)
        ]
    return Compiled(files=files, unexpressed=tuple(lost), remarks=REMARKS)


def _expressible(service: Service) -> Iterator[Rule]:
    for rule in service.accepts:
        if rule.tcp is None and rule.token is None:
            yield rule


def _namespace(name: str) -> Manifest:
    annotations = {
        "linkerd.io/inject": "enabled",
        "config.linkerd.io/default-inbound-policy": "deny",
    }
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _objects(
    service: Service, place: Place, routes: list[Route], cluster: Cluster
) -> Iterator[Manifest]:
    space, http = place.namespace, f"{service.name}.http"
    yield _server(service, space, cluster, http, cluster.http_port, "unknown")
    grouped: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for route in routes:
        if route.pattern is not None and expression(route.pattern) is None:
            continue
        if callers := _identities(route.callers, cluster):
            grouped.setdefault(callers, []).append(_match(route))
    if any(route.pattern is None for route in routes):
        unclean = {"path": {"type": "RegularExpression", "value": UNCLEAN}}
        yield _route(f"{service.name}.unclean-path", space, http, [unclean])
    for number, (callers, matches) in enumerate(grouped.items()):
        name = f"{service.name}.{number}"
        yield _callers(name, space, callers)
        for part, start in enumerate(range(0, len(matches), MATCHES * RULES)):
            piece = f"{name}.{part}" if part else name
            yield _route(piece, space, http, matches[start : start + MATCHES * RULES])
            yield _allow(piece, space, ("HTTPRoute", piece), name)
    yield from _ports(service, space, cluster)


def _ports(service: Service, space: str, cluster: Cluster) -> Iterator[Manifest]:
    for port in service.tcp_ports:
        if port == cluster.http_port:
            continue
        sources = [s for rule in service.accepts if rule.tcp == port for s in rule.sources]
        name = f"{service.name}.tcp-{port}"
        yield _server(service, space, cluster, name, port, "opaque")
        if callers := _identities(sources, cluster):
            yield _callers(name, space, callers)
            yield _allow(name, space, ("Server", name), name)


def _match(route: Route) -> dict[str, Any]:
    pattern = route.pattern
    if pattern is None:
        path = {"type": "PathPrefix", "value": "/"}
    elif pattern.is_literal:
        path = {"type": "Exact", "value": pattern.text}
    else:
        path = {"type": "RegularExpression", "value": expression(pattern) or ""}
    return {"path": path} | ({"method": route.method} if route.method is not None else {})


def _identities(callers: Iterable[SpiffeId], cluster: Cluster) -> tuple[str, ...]:
    """Return the callers as Linkerd names them; those that it cannot name are left out."""
    found = set()
    for caller in callers:
        if (place := place_of(caller)) is not None:
            issuer = f"serviceaccount.identity.{cluster.linkerd_namespace}.{caller.trust_domain}"
            found.add(f"{place.account}.{place.namespace}.{issuer}")
    return tuple(sorted(found))


def _server(
    service: Service, space: str, cluster: Cluster, name: str, port: int | str, protocol: str
) -> Manifest:
    spec = {
        "podSelector": {"matchLabels": {cluster.pod_label: service.name}},
        "port": port,
        "proxyProtocol": protocol,
        "accessPolicy": "deny",
    }
    return manifest(BETA, "Server", name, space, spec)


def _route(name: str, space: str, server: str, matches: list[dict[str, Any]]) -> Manifest:
    parts = [matches[start : start + MATCHES] for start in range(0, len(matches), MATCHES)]
    spec = {
        "parentRefs": [{"group": GROUP, "kind": "Server", "name": server}],
        "rules": [{"matches": part} for part in parts],
    }
    return manifest(BETA, "HTTPRoute", name, space, spec)


def _callers(name: str, space: str, identities: tuple[str, ...]) -> Manifest:
    return manifest(POLICY, "MeshTLSAuthentication", name, space, {"identities": list(identities)})


def _allow(name: str, space: str, target: tuple[str, str], callers: str) -> Manifest:
    spec = {
        "targetRef": {"group": GROUP, "kind": target[0], "name": target[1]},
        "requiredAuthenticationRefs": [
            {"group": GROUP, "kind": "MeshTLSAuthentication", "name": callers}
        ],
    }
    return manifest(POLICY, "AuthorizationPolicy", name, space, spec)
