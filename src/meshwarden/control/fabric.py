"""What every sidecar is to do: the policy and the mesh file turned into one `Sidecar` a service.

Pure: the same policy, mesh and layout give the same sidecars. A sidecar knows only the callees and
outside hosts that some rule lets its service reach.
"""

from collections.abc import Collection, Mapping

from meshwarden.adapters.envoy.border import Passage
from meshwarden.adapters.envoy.model import Callee, Endpoint, Filters, Outside, Sidecar, TcpInbound
from meshwarden.control.hosts import outside_addresses
from meshwarden.control.layout import (
    FEDERATED_PORT,
    REDIRECTED_PORT,
    Layout,
    federated_tcp_ports,
    inbound_tcp_ports,
    outbound_tcp_ports,
)
from meshwarden.control.mesh import Address, Mesh, MeshService
from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, Egress, Rule, Service, isolate
from meshwarden.policy.targets.envoy import compile_http_filter, compile_network_filter
from meshwarden.policy.targets.envoy.token_headers import Handed

_Accepting = dict[SpiffeId, dict[str, list[Rule]]]
"""For each caller, the services that take it, in the order of their names, and the rules for it."""


def plan_sidecars(policy: AccessPolicy, mesh: Mesh, layout: Layout) -> dict[str, Sidecar]:
    """Return the sidecar of each service of `mesh`, by name."""
    accepting = _accepting(policy, mesh)
    return {name: _sidecar(name, policy, mesh, layout, accepting) for name in mesh.services}


def plan_border(policy: AccessPolicy, mesh: Mesh, layout: Layout) -> tuple[Passage, ...]:
    """Return the ways between an isolated mesh and the rest: its edges, its listed outside hosts.

    The two ends lie in different networks, and meet at Unix sockets.
    """
    found = []
    for name, service in mesh.services.items():
        if service.edge:
            found.append(
                Passage(
                    name=f"edge/{name}",
                    listen=Endpoint(address="127.0.0.1", port=service.edge),
                    to=Endpoint(address=str(layout.edge_socket(name))),
                    announce=True,
                )
            )
        found += [
            Passage(
                name=f"partners/{name}" + (f"/{port}" if port else ""),
                listen=Endpoint(address=listen.host, port=listen.port),
                to=Endpoint(address=str(layout.partners_socket(name, port))),
                announce=True,
            )
            for port, listen in service.partners.items()
            if port in foreign_ports(policy, name)
        ]
        for egress in policy.services[name].egress:
            target = mesh.outside.get(egress.host)
            socket = layout.out_socket(name, egress.host, egress.port)
            found.append(
                Passage(
                    name=f"out/{name}/{egress.host}:{egress.port}",
                    listen=Endpoint(address=str(socket)),
                    to=Endpoint(address=target.host, port=target.port)
                    if target
                    else Endpoint(address=egress.host, port=egress.port),
                    fixed=target is not None,
                )
            )
    return tuple(found)


def compile_filters(
    policy: AccessPolicy, service: str, *, isolated: Collection[str] = ()
) -> Filters:
    """Return the compiled policy of one service, while the services `isolated` are in quarantine.

    A mesh without a token service has no rule with a token; the sidecars of any other have the
    filters that verify tokens, hand on what they say and enforce single use. There is a filter for
    each port that the service accepts without those in quarantine, so that one whose callers are
    all there refuses everybody.
    """
    rest = isolate(policy, isolated)
    return Filters(
        http=compile_http_filter(rest, service, single_use_enforced=True, handed=Handed.HEADERS),
        tcp={
            port: compile_network_filter(rest, service, port)
            for port in policy.services[service].tcp_ports
        },
    )


def tcp_destinations(
    policy: AccessPolicy, mesh: Mesh, layout: Layout, service: str
) -> list[tuple[str, int, Address]]:
    """Return the connections that `service` may open: callee, port, and where it connects to."""
    return [
        (callee.service, callee.port, Address(host=callee.local.address, port=callee.local.port))
        for callee in _callees(service, policy, layout, _accepting(policy, mesh))
        if callee.port and callee.local
    ]


def _sidecar(
    name: str, policy: AccessPolicy, mesh: Mesh, layout: Layout, accepting: _Accepting
) -> Sidecar:
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
        edge=_edge(service, layout),
        edge_tls=service.edge_certificate is not None,
        application=application,
        tcp=_tcp(policy, service, layout, application) if application else (),
        callees=tuple(_callees(name, policy, layout, accepting)),
        outside=tuple(_outsides(name, policy, mesh, layout)),
        access_log=layout.access_log(name),
        source=host,
        shows_certificate=service.builtin,
        redirected=Endpoint(address=proxy.host, port=REDIRECTED_PORT) if layout.isolated else None,
        federated=foreign_ends(policy, service, layout).get(None) if takes_requests else None,
        verifies_tokens=bool(takes_requests and mesh.tokens),
        authorizer=_authorizer(service, layout) if mesh.tokens else None,
        shared=_shared(service, layout),
    )


def _tcp(
    policy: AccessPolicy, program: MeshService, layout: Layout, application: Endpoint
) -> tuple[TcpInbound, ...]:
    service, host = policy.services[program.name], layout.host(program.name)
    own = inbound_tcp_ports(service.tcp_ports)
    others = foreign_ends(policy, program, layout)
    found = []
    for port in service.tcp_ports:
        callers = _callers(service, port)
        domain = policy.trust_domain
        found.append(
            TcpInbound(
                port=port,
                callers=tuple(one for one in callers if one.trust_domain == domain),
                listen=Endpoint(address=host, port=own[port]),
                application=application,
                partners=tuple(one for one in callers if one.trust_domain != domain),
                federated=others.get(port),
            )
        )
    return tuple(found)


def _callers(service: Service, port: int) -> list[SpiffeId]:
    found = {source for rule in service.accepts if rule.tcp == port for source in rule.sources}
    return sorted(found)


def _edge(service: MeshService, layout: Layout) -> Endpoint | None:
    if service.edge is None:
        return None
    if layout.isolated:
        return Endpoint(address=str(layout.edge_socket(service.name)))
    return Endpoint(address="127.0.0.1", port=service.edge)


def _authorizer(service: MeshService, layout: Layout) -> Endpoint:
    return Endpoint(address=str(layout.authorizer_socket(service.name)))


def _shared(service: MeshService, layout: Layout) -> Endpoint | None:
    """Return where a service in a container, whose network is another, sends its requests."""
    if service.container is None:
        return None
    return Endpoint(address=str(layout.out_of_container(service.name)))


def _application(service: MeshService, layout: Layout) -> Endpoint | None:
    if service.socket:
        return Endpoint(address=str(layout.app_socket(service.name)))
    if service.port is not None:
        return Endpoint(address="127.0.0.1", port=service.port)
    return None


def _accepting(policy: AccessPolicy, mesh: Mesh) -> _Accepting:
    found: _Accepting = {}
    for name in sorted(mesh.services):
        for rule in policy.services[name].accepts:
            for source in rule.sources:
                found.setdefault(source, {}).setdefault(name, []).append(rule)
    return found


def _callees(
    caller: str, policy: AccessPolicy, layout: Layout, accepting: _Accepting
) -> list[Callee]:
    found: list[Callee] = []
    open_to_it = accepting.get(policy.services[caller].identity, {})
    local_ports = outbound_tcp_ports(
        {(name, rule.tcp) for name, rules in open_to_it.items() for rule in rules if rule.tcp}
    )
    for name, rules in open_to_it.items():
        host = layout.host(name)
        inbound_ports = inbound_tcp_ports(policy.services[name].tcp_ports)
        for port in sorted({rule.tcp for rule in rules if rule.tcp}):
            local = Endpoint(address=layout.proxy(caller).host, port=local_ports[name, port])
            found.append(
                Callee(
                    service=name,
                    identity=policy.services[name].identity,
                    endpoints=(Endpoint(address=host, port=inbound_ports[port]),),
                    port=port,
                    local=local,
                    at=host if layout.isolated else None,
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


def foreign_ports(policy: AccessPolicy, name: str) -> set[int | None]:
    """Return what rules open to identities of other trust domains: `tcp` ports; None: requests."""
    return {
        rule.tcp
        for rule in policy.services[name].accepts
        if any(source.trust_domain != policy.trust_domain for source in rule.sources)
    }


def foreign_ends(
    policy: AccessPolicy, service: MeshService, layout: Layout
) -> dict[int | None, Endpoint]:
    """Return where the sidecar of `service` takes callers of other trust domains, by what is open.

    Isolated, that is where the border brings them in, and nowhere for what the mesh file does not
    name under `partners`: its own network is one that no partner is in.
    """
    opened = foreign_ports(policy, service.name)
    if layout.isolated:
        return {
            port: Endpoint(address=str(layout.partners_socket(service.name, port)))
            for port in opened & set(service.partners)
        }
    host = layout.host(service.name)
    places = federated_tcp_ports(port for port in opened if port is not None)
    own = {
        port: Address(host=host, port=places[port] if port else FEDERATED_PORT) for port in opened
    }
    return {
        port: Endpoint(address=address.host, port=address.port)
        for port, address in (own | dict(service.partners)).items()
        if port in opened
    }


def closed_to_partners(policy: AccessPolicy, mesh: Mesh, layout: Layout) -> list[str]:
    """Return the services whose rules name partners that have no way to them all the same."""
    return [
        name
        for name, service in mesh.services.items()
        if foreign_ports(policy, name) - set(foreign_ends(policy, service, layout))
    ]


def _is_http(rule: Rule) -> bool:
    return rule.tcp is None


def _outsides(name: str, policy: AccessPolicy, mesh: Mesh, layout: Layout) -> list[Outside]:
    listed = policy.services[name].egress
    if not layout.isolated:
        return [_outside(egress, mesh.outside) for egress in listed]
    at = outside_addresses(policy)
    return [
        Outside(
            host=egress.host,
            port=egress.port,
            address=Endpoint(address=str(layout.out_socket(name, egress.host, egress.port))),
            at=at[egress.host],
            identity=egress.identity,
        )
        for egress in listed
    ]


def _outside(egress: Egress, fixed: Mapping[str, Address]) -> Outside:
    address = fixed.get(egress.host)
    endpoint = Endpoint(address=address.host, port=address.port) if address else None
    return Outside(host=egress.host, port=egress.port, address=endpoint, identity=egress.identity)
