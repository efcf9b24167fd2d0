"""What every sidecar is to do: the policy and the mesh file turned into one `Sidecar` a service.

Pure: the same policy, mesh and layout give the same sidecars. A sidecar knows only the callees and
outside hosts that some rule lets its service reach.
"""

from collections.abc import Mapping

from meshwarden.adapters.envoy.model import Callee, Endpoint, Filters, Outside, Sidecar, TcpInbound
from meshwarden.control.layout import (
    FEDERATED_PORT,
    Layout,
    inbound_tcp_port,
    outbound_tcp_ports,
)
from meshwarden.control.mesh import Address, Mesh, MeshService
from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, Rule, Service
from meshwarden.policy.targets.envoy import compile_http_filter, compile_network_filter


def plan_sidecars(policy: AccessPolicy, mesh: Mesh, layout: Layout) -> dict[str, Sidecar]:
    """Return the sidecar of each service of `mesh`, by name."""
    return {name: _sidecar(name, policy, mesh, layout) for name in mesh.services}


def compile_filters(policy: AccessPolicy, service: str) -> Filters:
    """Return the compiled policy of one service."""
    return Filters(
        http=compile_http_filter(policy, service),
        tcp={
            port: compile_network_filter(policy, service, port)
            for port in policy.services[service].tcp_ports
        },
    )


def tcp_destinations(
    policy: AccessPolicy, mesh: Mesh, layout: Layout, service: str
) -> list[tuple[str, int, Address]]:
    """Return the connections that `service` may open: callee, port, and where it connects to."""
    return [
        (callee.service, callee.port, Address(host=callee.local.address, port=callee.local.port))
        for callee in _callees(service, policy, mesh, layout)
        if callee.port and callee.local
    ]


def _sidecar(name: str, policy: AccessPolicy, mesh: Mesh, layout: Layout) -> Sidecar:
    service = mesh.services[name]
    host = layout.host(name)
    proxy = layout.proxy(name)
    application = _application(service, layout)
    only_tcp = (
        all(rule.tcp for rule in policy.services[name].accepts) and policy.services[name].tcp_ports
    )
    takes_requests = application is not None and not only_tcp
    return Sidecar(
        service=name,
        identity=policy.services[name].identity,
        inbound=Endpoint(address=host, port=layout.address(name).port) if takes_requests else None,
        outbound=Endpoint(address=proxy.host, port=proxy.port),
        edge=Endpoint(address="127.0.0.1", port=service.edge) if service.edge else None,
        application=application,
        tcp=tuple(
            TcpInbound(
                port=port,
                callers=_callers(policy.services[name], port),
                listen=Endpoint(address=host, port=inbound_tcp_port(port)),
                application=application,
            )
            for port in policy.services[name].tcp_ports
            if application
        ),
        callees=tuple(_callees(name, policy, mesh, layout)),
        outside=tuple(
            _outside(egress.host, egress.port, mesh.outside)
            for egress in policy.services[name].egress
        ),
        access_log=layout.access_log(name),
        federated=Endpoint(address=host, port=FEDERATED_PORT)
        if takes_requests and _has_foreign_callers(policy, name)
        else None,
    )


def _callers(service: Service, port: int) -> tuple[SpiffeId, ...]:
    found = {source for rule in service.accepts if rule.tcp == port for source in rule.sources}
    return tuple(sorted(found))


def _application(service: MeshService, layout: Layout) -> Endpoint | None:
    if service.socket:
        return Endpoint(address=str(layout.app_socket(service.name)))
    if service.port is not None:
        return Endpoint(address="127.0.0.1", port=service.port)
    return None


def _callees(caller: str, policy: AccessPolicy, mesh: Mesh, layout: Layout) -> list[Callee]:
    identity = policy.services[caller].identity
    found: list[Callee] = []
    open_to_it = {
        name: [rule for rule in policy.services[name].accepts if identity in rule.sources]
        for name in sorted(mesh.services)
    }
    local_ports = outbound_tcp_ports(
        {(name, rule.tcp) for name, rules in open_to_it.items() for rule in rules if rule.tcp}
    )
    for name, rules in open_to_it.items():
        host = layout.host(name)
        for port in sorted({rule.tcp for rule in rules if rule.tcp}):
            local = Endpoint(address=layout.host(caller), port=local_ports[name, port])
            found.append(
                Callee(
                    service=name,
                    identity=policy.services[name].identity,
                    endpoints=(Endpoint(address=host, port=inbound_tcp_port(port)),),
                    port=port,
                    local=local,
                )
            )
        if any(_is_http(rule) for rule in rules):
            address = layout.address(name)
            found.append(
                Callee(
                    service=name,
                    identity=policy.services[name].identity,
                    endpoints=(Endpoint(address=address.host, port=address.port),),
                )
            )
    return found


def _has_foreign_callers(policy: AccessPolicy, name: str) -> bool:
    """Return whether a rule for requests names an identity of another trust domain."""
    return any(
        source.trust_domain != policy.trust_domain
        for rule in policy.services[name].accepts
        if _is_http(rule)
        for source in rule.sources
    )


def _is_http(rule: Rule) -> bool:
    return rule.tcp is None


def _outside(host: str, port: int, fixed: Mapping[str, Address]) -> Outside:
    address = fixed.get(host)
    endpoint = Endpoint(address=address.host, port=address.port) if address else None
    return Outside(host=host, port=port, address=endpoint)
