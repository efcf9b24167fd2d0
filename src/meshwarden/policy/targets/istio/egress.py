"""What a service may call: hosts outside as ServiceEntry, all else by its Sidecar.

This limits what a proxy knows, which is not the same as what a workload can reach: whoever leaves
the proxy aside is held by NetworkPolicy alone. Inside the mesh it is the callee that decides.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from meshwarden.policy.model import AccessPolicy, Egress, Service
from meshwarden.policy.targets.cluster import Cluster, Place, place_of, placed
from meshwarden.policy.targets.istio.authorization import TARGET
from meshwarden.policy.targets.manifest import Manifest, manifest, of_service
from meshwarden.policy.targets.unexpressed import Unexpressed

API: Final = "networking.istio.io/v1"
_TLS: Final = frozenset({443, 8443})
"""Ports on which hosts are told apart by the name in the handshake; on others by address."""


def callees_by_caller(policy: AccessPolicy, cluster: Cluster) -> dict[str, list[str]]:
    """Return for each caller's SPIFFE ID the hosts of the services that have a rule for it."""
    found: dict[str, dict[str, None]] = {}
    for service, place in placed(policy.services.values()):
        host = f"{place.namespace}/{service.name}.{place.namespace}.svc.{cluster.domain}"
        for rule in service.accepts:
            for source in rule.sources:
                found.setdefault(str(source), {})[host] = None
    return {caller: sorted(hosts) for caller, hosts in found.items()}


def egress_objects(
    service: Service, place: Place, cluster: Cluster, callees: Iterable[str]
) -> Iterator[Manifest]:
    """Yield the entries of outside hosts, and the Sidecar that knows them and `callees` alone."""
    ports: dict[str, list[int]] = {}
    for one in service.egress:
        if not _why_lost(one):
            ports.setdefault(one.host, []).append(one.port)
    for host, numbers in ports.items():
        name = f"{service.name}.{host}"[:253].rstrip("-.")
        entry = manifest(API, "ServiceEntry", name, place.namespace, _entry(host, numbers))
        yield of_service(entry, service)
    hosts = [*callees, *(f"./{host}" for host in ports), f"{cluster.system_namespace}/*"]
    spec = {
        "workloadSelector": {"labels": {cluster.pod_label: service.name}},
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
        "egress": [{"hosts": hosts}],
    }
    yield of_service(manifest(API, "Sidecar", service.name, place.namespace, spec), service)


def _entry(host: str, ports: Iterable[int]) -> dict[str, object]:
    return {
        "hosts": [host],
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "ports": [_port(number) for number in sorted(ports)],
    }


def _port(number: int) -> dict[str, object]:
    protocol = "TLS" if number in _TLS else "TCP"
    return {"number": number, "name": f"{protocol.lower()}-{number}", "protocol": protocol}


def lost_egress(service: Service) -> Iterator[Unexpressed]:
    """Yield the outside hosts that are not opened."""
    for one in service.egress:
        if (why := _why_lost(one)) and place_of(service.identity) is not None:
            what = f"{one.host}:{one.port} is not opened: {why}"
            yield Unexpressed(target=TARGET, rule=service.name, where=service.where, what=what)


def _why_lost(egress: Egress) -> str:
    if egress.identity is not None:
        return f"a ServiceEntry does not check that it proves to be {egress.identity}"
    return "Istio takes no host with an underscore" if "_" in egress.host else ""
