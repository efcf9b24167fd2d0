"""Compiles a policy into Kubernetes NetworkPolicies: who may connect to which port.

A second line behind a mesh, or the only one where there is none. It is about addresses of pods that
carry a label, not about proven identities, and knows neither methods nor paths nor tokens: what a
rule narrows by these is open here, and said to be. Policies only ever add up, so each service has
one that allows what is listed and thereby nothing else, in both directions.

Semantics: kubernetes.io, Network Policies; an empty `ingress` allows nothing.
"""

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
from meshwarden.policy.targets.manifest import Compiled, manifest, of_service
from meshwarden.policy.targets.unexpressed import Unexpressed

TARGET: Final = "networkpolicy"
API: Final = "networking.k8s.io/v1"
NAMESPACE: Final = "kubernetes.io/metadata.name"
"""The label that every namespace carries with its own name."""

REMARKS: Final = (
    "callers are told by the labels of their pods, not by a proven identity",
    "who can reach the node of a pod can reach the pod",
    "Linkerd also connects to port 4143 of the callee: with Linkerd, allow that between its pods",
)

Port = int | str


def compile_policy(
    policy: AccessPolicy, cluster: Cluster = DEFAULT, service_name: str | None = None
) -> Compiled:
    """Return the NetworkPolicy of one service (of all, where None)."""
    services = chosen(policy, service_name)
    callees = _callees(policy, cluster)
    lost: list[Unexpressed] = [*about_services(TARGET, services)]
    files: dict[str, Any] = {}
    for service, place in placed(services):
        lost += [*_lost(policy, service), *_lost_egress(service)]
        spec = {
            "podSelector": {"matchLabels": {cluster.pod_label: service.name}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": list(_ingress(policy, service, cluster)),
            "egress": [
                *callees.get(service.name, ()),
                *_outside(service),
                _dns(),
                {"to": [_namespace(name) for name in cluster.control_planes]},
            ],
        }
        made = manifest(API, "NetworkPolicy", service.name, place.namespace, spec)
        files[f"{service.name}.yaml"] = [of_service(made, service)]
    return Compiled(files=files, unexpressed=tuple(lost), remarks=REMARKS)


def _ingress(policy: AccessPolicy, service: Service, cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Yield who may connect to which port, callers of the same ports together."""
    ports: dict[SpiffeId, dict[Port, None]] = {}
    for rule in service.accepts:
        port = cluster.http_port if rule.tcp is None else rule.tcp
        for source in rule.sources:
            ports.setdefault(source, {})[port] = None
    alike: dict[tuple[Port, ...], list[dict[str, Any]]] = {}
    for source, wanted in ports.items():
        if (peer := _peer(policy, source, cluster)) is not None:
            alike.setdefault(tuple(sorted(wanted, key=str)), []).append(peer)
    for together, peers in alike.items():
        yield {"from": peers, "ports": _ports(together)}


def _callees(policy: AccessPolicy, cluster: Cluster) -> dict[str, list[dict[str, Any]]]:
    """Return for each service's name the pods and ports that some rule lets it connect to."""
    found: dict[str, dict[str, dict[Port, None]]] = {}
    for callee, _ in placed(policy.services.values()):
        for rule in callee.accepts:
            port = cluster.http_port if rule.tcp is None else rule.tcp
            for source in rule.sources:
                if (caller := policy.service_with(source)) is not None:
                    found.setdefault(caller.name, {}).setdefault(callee.name, {})[port] = None
    return {
        caller: [
            {
                "to": [_pods(callee, place_of(policy.services[callee].identity), cluster)],
                "ports": _ports(sorted(ports, key=str)),
            }
            for callee, ports in callees.items()
        ]
        for caller, callees in found.items()
    }


def _outside(service: Service) -> Iterator[dict[str, Any]]:
    ports = sorted({one.port for one in service.egress})
    if ports:
        yield {"ports": _ports(ports)}


def _dns() -> dict[str, Any]:
    resolver = {
        "namespaceSelector": {"matchLabels": {NAMESPACE: "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return {
        "to": [resolver],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }


def _namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {NAMESPACE: name}}}


def _ports(ports: Iterable[Port]) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _peer(policy: AccessPolicy, source: SpiffeId, cluster: Cluster) -> dict[str, Any] | None:
    caller = policy.service_with(source)
    place = place_of(source)
    return None if caller is None or place is None else _pods(caller.name, place, cluster)


def _pods(name: str, place: Place | None, cluster: Cluster) -> dict[str, Any]:
    space = place.namespace if place is not None else ""
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE: space}},
        "podSelector": {"matchLabels": {cluster.pod_label: name}},
    }


def _lost(policy: AccessPolicy, service: Service) -> Iterator[Unexpressed]:
    for rule in service.accepts:
        for source in rule.sources:
            known = policy.service_with(source)
            if known is None or place_of(source) is None:
                yield _about(rule, f"there is no telling the pods of {source}: it is refused")
        narrower = [
            name
            for name, value in (
                ("methods", rule.methods),
                ("paths", rule.paths),
                ("token", rule.token),
            )
            if value is not None
        ]
        if narrower:
            what = f"a NetworkPolicy has no {', '.join(narrower)}: any request is let through"
            yield _about(rule, what, wider=True)


def _lost_egress(service: Service) -> Iterator[Unexpressed]:
    for one in service.egress:
        what = f"a NetworkPolicy has no host names: port {one.port} is open to every address"
        yield Unexpressed(
            target=TARGET, rule=service.name, where=service.where, what=what, wider=True
        )


def _about(rule: Rule, what: str, *, wider: bool = False) -> Unexpressed:
    return Unexpressed(target=TARGET, rule=rule.name, where=rule.where, what=what, wider=wider)
