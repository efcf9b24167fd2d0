"""`mesh.yaml`: which programs make up a mesh, how each is started, and where it listens.

A `Mesh` cannot be built from a file that contradicts itself: unknown keys and names, a dependency
that leads back to itself, a port that two services want, are errors with file and line before
anything is started. Names are those of the access policy; `check_against` compares the two. Whether
commands and directories exist is seen when the supervisor prepares to start them.
"""

import difflib
import graphlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from meshwarden.control.container_settings import ContainerSettings, parse_container
from meshwarden.control.edge_certificate import EdgeCertificate, parse_edge
from meshwarden.control.federation import (
    EndpointSettings,
    FederatedDomain,
    parse_endpoint,
    parse_federation,
    parse_partners,
)
from meshwarden.control.response_settings import ResponseSettings, parse_response
from meshwarden.control.tokens.settings import TokenSettings, parse_tokens
from meshwarden.control.watching.settings import BehaviourSettings, parse_behaviour
from meshwarden.identity import LIFETIME_S, MAX_LIFETIME_S
from meshwarden.kernel import ConfigError, Node
from meshwarden.kernel.document import Fields
from meshwarden.policy import AccessPolicy, Service

API_VERSION: Final = "meshwarden.dev/v1"
DEFAULT_START_TIMEOUT_S: Final = 30.0
DEFAULT_PIDS: Final = 4096  # enough for a runtime with a thread a request; a fork bomb ends there
MIN_LIFETIME_S: Final = 5  # less leaves no time between issuance and renewal
MAX_SERVICES: Final = 240  # each has one host number of its own in 127.A.B.0/24
RESERVED_NAMES: Final = frozenset(
    {"border", "control-plane", "meshwarden", "workload"}
)  # they name our own log lines
PROXY_VARIABLES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A TCP address: `host` is an IP address in text."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What an isolated service may use.

    Attributes:
        memory_mb: of all its processes together; None: as much as there is.
        pids: processes and threads.
    """

    memory_mb: int | None = None
    pids: int = DEFAULT_PIDS

    @property
    def memory_bytes(self) -> int | None:
        """The limit of memory in bytes."""
        return None if self.memory_mb is None else self.memory_mb << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshService:
    """One program of the mesh.

    Attributes:
        name: its name in the policy; a DNS label.
        command: program and arguments; no shell is involved. Empty where a container runs it.
        socket: it listens on the Unix socket that `MESHWARDEN_SOCKET` names.
        port: it listens on this port of 127.0.0.1 (`PORT`). With neither, it only calls others.
        health: path of an HTTP GET that answers 2xx once it serves; None: it accepts connections.
        after: services that must be healthy before this one is started.
        environment: variables on top of those that `meshwarden up` itself was given.
        directory: its working directory, absolute.
        user: the account it runs as; None: the one that runs meshwarden.
        edge: port of 127.0.0.1 on which its sidecar takes traffic from outside.
        edge_certificate: what it shows there; None: it listens in the clear.
        partners: where callers of other trust domains arrive, by `tcp` port; None: their requests.
        start_timeout_s: seconds from its start by which it must be healthy.
        limits: what it may use, where the mesh is isolated.
        where: `file:line` of its entry, for errors.
        builtin: the control plane itself is its program; only its sidecar is a process.
        container: what runs it in place of a command.
    """

    name: str
    command: tuple[str, ...]
    socket: bool = False
    port: int | None = None
    health: str | None = None
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path
    user: str | None = None
    edge: int | None = None
    edge_certificate: EdgeCertificate | None = None
    partners: Mapping[int | None, Address] = field(default_factory=dict)
    start_timeout_s: float = DEFAULT_START_TIMEOUT_S
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    where: str = "mesh"
    builtin: bool = False
    container: ContainerSettings | None = None

    @property
    def listens(self) -> bool:
        """Whether others can call it."""
        return self.socket or self.port is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoritySettings:
    """What signs the mesh's certificates, and for how long.

    Attributes:
        certificates: PEM file of the CA that the user brings, with its chain; None: one is made.
        key: PEM file of its key; given with `certificates` or not at all.
        svid_lifetime_s: life of each SVID; renewed at about half of it.
    """

    certificates: Path | None = None
    key: Path | None = None
    svid_lifetime_s: int = LIFETIME_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The services in the order of the file, their policy, and what they share.

    Attributes:
        policy_path: the access policy, absolute.
        services: by name, in the order of the file.
        outside: fixed addresses of outside hosts.
        authority: what signs certificates.
        federation: other trust domains whose workloads the policy may name.
        bundle_endpoint: where others fetch our bundle; None: nowhere.
        tokens: the token service, which is one of `services`; None: there is none.
        behaviour: how calls are watched.
        response: what is done about what is found.
        directory: the mesh file's own.
    """

    policy_path: Path
    services: Mapping[str, MeshService]
    outside: Mapping[str, Address] = field(default_factory=dict)
    authority: AuthoritySettings = field(default_factory=AuthoritySettings)
    federation: tuple[FederatedDomain, ...] = ()
    bundle_endpoint: EndpointSettings | None = None
    tokens: TokenSettings | None = None
    behaviour: BehaviourSettings = field(default_factory=BehaviourSettings)
    response: ResponseSettings = field(default_factory=ResponseSettings)
    directory: Path


def parse_mesh(document: Node, directory: Path) -> Mesh:
    """Return the mesh that `document` describes, its paths taken relative to `directory`.

    Raises:
        InputError: with file, line and hint, where the document contradicts the format or itself.
    """
    top = document.fields(
        required=["apiVersion", "policy", "services"],
        optional=[
            "outside",
            "authority",
            "federation",
            "bundle_endpoint",
            "tokens",
            "behaviour",
            "response",
        ],
    )
    if top["apiVersion"].value != API_VERSION:
        top["apiVersion"].refuse(
            "mesh.api_version", "unknown apiVersion", hint=f"write {API_VERSION}"
        )
    nodes = top["services"].mapping()
    if not nodes:
        top["services"].refuse("mesh.no_services", "no services", hint="name at least one")
    if len(nodes) > MAX_SERVICES:
        top["services"].refuse("mesh.too_many_services", f"more than {MAX_SERVICES} services")
    directory = directory.absolute()
    services = {name: _service(name, node, directory) for name, node in nodes.items()}
    tokens = top.get("tokens")
    settings = None if tokens is None else parse_tokens(tokens, directory)
    if tokens is not None and settings is not None:
        services |= _token_service(tokens, settings, services)
    _check_dependencies(nodes, services)
    _check_ports(nodes, services)
    outside = top.get("outside")
    return Mesh(
        policy_path=directory / _plain(top["policy"]),
        services=services,
        outside={} if outside is None else _outside(outside),
        authority=_authority(top.get("authority"), directory),
        federation=parse_federation(top.get("federation"), directory),
        bundle_endpoint=parse_endpoint(top.get("bundle_endpoint"), directory, _host_and_port),
        tokens=settings,
        behaviour=parse_behaviour(top.get("behaviour")),
        response=parse_response(top.get("response"), directory),
        directory=directory,
    )


def check_against(mesh: Mesh, policy: AccessPolicy) -> None:
    """Refuse a mesh that its policy does not know.

    Raises:
        ConfigError: `mesh.not_in_policy`, `mesh.edge_not_in_policy`, `mesh.listens_nowhere`,
            `mesh.no_tokens` or `mesh.not_federated`.
    """
    for name, service in mesh.services.items():
        known = policy.services.get(name)
        if known is None:
            near = difflib.get_close_matches(name, list(policy.services), n=1)
            raise ConfigError(
                "mesh.not_in_policy",
                f"{service.where}: service {name!r} is not in the policy {mesh.policy_path}",
                hint=f"did you mean {near[0]!r}?" if near else "add it there with its identity",
            )
        if service.edge is not None and not known.edge:
            raise ConfigError(
                "mesh.edge_not_in_policy",
                f"{service.where}: {name!r} has an edge port, but its policy has no `edge: true`",
                hint=f"add `edge: true` to {name!r} in {mesh.policy_path}, or remove the port",
            )
        if known.accepts and not service.listens:
            raise ConfigError(
                "mesh.listens_nowhere",
                f"{service.where}: the policy lets others call {name!r}, but it listens nowhere",
                hint="add `socket: true` or `port: N`",
            )
        _check_egress(mesh, known)
        _check_tokens(mesh, known)


def _check_tokens(mesh: Mesh, known: Service) -> None:
    demanding = next((rule for rule in known.accepts if rule.token), None)
    if demanding is not None and mesh.tokens is None:
        raise ConfigError(
            "mesh.no_tokens",
            f"{demanding.where or demanding.name}: the rule demands a transaction token, but the"
            " mesh has no token service, so that it would refuse every call",
            hint="add `tokens: {policy: tokens.yaml}` to the mesh file",
        )


def _check_egress(mesh: Mesh, service: Service) -> None:
    """Refuse an identity to be proven that no bundle of this mesh can prove."""
    domains = {domain.trust_domain for domain in mesh.federation}
    for egress in service.egress:
        if egress.identity is not None and egress.identity.trust_domain not in domains:
            raise ConfigError(
                "mesh.not_federated",
                f"{service.name} is to call {egress.identity} at {egress.host}, and"
                f" {egress.identity.trust_domain} is not federated",
                hint="add it to `federation` in the mesh file",
            )


_KEYS = (
    "socket", "port", "health", "after", "environment", "directory", "user", "edge",
    "start_timeout_s", "limits", "partners",
)  # fmt: skip
_CONTAINER_KEYS = ("socket", "health", "after", "edge", "start_timeout_s", "partners")


def _service(name: str, node: Node, directory: Path) -> MeshService:
    if not _NAME.fullmatch(name):
        node.refuse(
            "mesh.name", f"{name[:80]!r} is not a service name",
            hint="1 to 63 of a-z 0-9 -, with a letter or digit at both ends",
        )  # fmt: skip
    if name in RESERVED_NAMES:
        node.refuse("mesh.name", f"the name {name!r} is taken by meshwarden itself")
    contained = "container" in node.mapping()
    fields = node.fields(
        required=["container" if contained else "command"],
        optional=_CONTAINER_KEYS if contained else _KEYS,
    )
    socket, port = _listening(node, fields)
    edge, certificate = parse_edge(fields.get("edge"), directory)
    health = fields.get("health")
    after = fields.get("after")
    timeout = fields.get("start_timeout_s")
    user = fields.get("user")
    below = fields.get("directory")
    partners = fields.get("partners")
    if not socket and port is None and (given := fields.get("edge") or health or partners):
        given.refuse(
            "mesh.listens_nowhere",
            f"{name!r} listens nowhere, so it can have neither health nor edge nor partners",
            hint="add `socket: true` or `port: N`",
        )
    return MeshService(
        name=name,
        command=() if contained else _command(fields["command"]),
        socket=socket,
        port=port,
        health=None if health is None else _health(health),
        after=() if after is None else tuple(after.texts()),
        environment=_environment(fields.get("environment"), port=port),
        directory=directory / _plain(below) if below else directory,
        user=None if user is None else _plain(user),
        edge=edge,
        edge_certificate=certificate,
        partners={
            port: Address(host=host, port=number)
            for port, (host, number) in parse_partners(partners, _host_and_port).items()
        },
        start_timeout_s=timeout.number(0.1, 3600) if timeout else DEFAULT_START_TIMEOUT_S,
        limits=_limits(fields.get("limits")),
        where=node.where,
        container=parse_container(fields["container"], directory) if contained else None,
    )


def _listening(node: Node, fields: Fields) -> tuple[bool, int | None]:
    socket, port = fields.get("socket"), fields.get("port")
    uses_socket = socket is not None and socket.boolean()
    if uses_socket and port is not None:
        port.refuse(
            "mesh.socket_and_port", f"{node.path} has both socket and port", hint="keep one"
        )
    return uses_socket, None if port is None else port.integer(1, 65535)


def _command(node: Node) -> tuple[str, ...]:
    if isinstance(node.value, str):
        node.refuse(
            "mesh.command",
            f"{node.path} must be a list",
            hint='for example ["./ledger", "--verbose"]',
        )
    if not node.items():
        node.refuse("mesh.command", f"{node.path} is empty", hint="name the program first")
    return tuple(_text_of(item) for item in node.items())


def _text_of(node: Node) -> str:
    """Return a text or whole number as text; floats and booleans lose their spelling in YAML."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, str | int) or "\0" in str(value):
        node.refuse(
            "mesh.text", f"{node.path} must be a text or a whole number", hint="put it in quotes"
        )
    return str(value)


def _plain(node: Node) -> str:
    text = node.text()
    if "\0" in text:
        node.refuse("mesh.text", f"{node.path} holds a NUL character")
    return text


def _health(node: Node) -> str | None:
    text = node.text()
    if text == "tcp":
        return None
    if not re.fullmatch(r"/[!-~]*", text):
        node.refuse(
            "mesh.health", f"{node.path} is neither `tcp` nor a path", hint="for example /healthz"
        )
    return text


def _limits(node: Node | None) -> ServiceLimits:
    if node is None:
        return ServiceLimits()
    fields = node.fields(optional=["memory_mb", "pids"])
    memory, pids = fields.get("memory_mb"), fields.get("pids")
    return ServiceLimits(
        memory_mb=memory.integer(16, 1 << 24) if memory else None,
        pids=pids.integer(4, 1 << 20) if pids else DEFAULT_PIDS,
    )


def _environment(node: Node | None, *, port: int | None) -> dict[str, str]:
    if node is None:
        return {}
    for name, value in node.mapping().items():
        if not _VARIABLE.fullmatch(name):
            value.refuse("mesh.variable", f"{name[:80]!r} is not a variable name")
        ours = name.upper() in PROXY_VARIABLES or name.startswith("MESHWARDEN_")
        if ours or (name == "PORT" and port is not None):
            value.refuse(
                "mesh.variable", f"{name} is set by meshwarden", hint="remove it from environment"
            )
    return {name: _text_of(value) for name, value in node.mapping().items()}


def _check_dependencies(nodes: Mapping[str, Node], services: Mapping[str, MeshService]) -> None:
    for name, service in services.items():
        for index, other in enumerate(service.after):
            if other in services and other not in service.after[:index]:
                continue
            node = nodes[name].mapping()["after"].items()[index]
            if other in services:
                node.refuse("mesh.duplicate", f"{node.path} names {other!r} a second time")
            near = difflib.get_close_matches(other, list(services), n=1)
            node.refuse(
                "mesh.unknown_service", f"{node.path} names {other!r}, which is no service here",
                hint=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(services)}",
            )  # fmt: skip
    try:
        graphlib.TopologicalSorter({n: s.after for n, s in services.items()}).prepare()
    except graphlib.CycleError as error:
        cycle: list[str] = error.args[1][::-1]
        nodes[cycle[0]].mapping()["after"].refuse(
            "mesh.cycle", f"services wait for one another: {' after '.join(cycle)}",
            hint="remove one of these `after` entries",
        )  # fmt: skip


def _check_ports(nodes: Mapping[str, Node], services: Mapping[str, MeshService]) -> None:
    taken: dict[int, Node] = {}
    for name, service in services.items():
        for key, port in (("port", service.port), ("edge", service.edge)):
            if port is None:
                continue
            node = nodes[name].mapping()[key]
            if port in taken:
                node.refuse(
                    "mesh.port_twice", f"port {port} of 127.0.0.1 is wanted twice",
                    hint=f"{taken[port].path} has it at {taken[port].where}",
                )  # fmt: skip
            taken[port] = node
    _check_partners(nodes, services)


def _check_partners(nodes: Mapping[str, Node], services: Mapping[str, MeshService]) -> None:
    taken: dict[Address, str] = {}
    for name, service in services.items():
        for address in service.partners.values():
            if address in taken:
                nodes[name].mapping()["partners"].refuse(
                    "mesh.port_twice",
                    f"{address} is wanted twice",
                    hint=f"{taken[address]!r} has it",
                )
            taken[address] = name


def _authority(node: Node | None, directory: Path) -> AuthoritySettings:
    if node is None:
        return AuthoritySettings()
    fields = node.fields(optional=["certificates", "key", "svid_lifetime_s"])
    certificates, key = fields.get("certificates"), fields.get("key")
    if (certificates is None) != (key is None):
        node.refuse(
            "mesh.authority", "certificates and key belong together", hint="give both or neither"
        )
    life = fields.get("svid_lifetime_s")
    return AuthoritySettings(
        certificates=directory / _plain(certificates) if certificates else None,
        key=directory / _plain(key) if key else None,
        svid_lifetime_s=life.integer(MIN_LIFETIME_S, MAX_LIFETIME_S) if life else LIFETIME_S,
    )


def _token_service(
    node: Node, settings: TokenSettings, services: Mapping[str, MeshService]
) -> dict[str, MeshService]:
    """Return the service that the control plane itself is: it has a sidecar and no process."""
    name = settings.service
    if not _NAME.fullmatch(name) or name in RESERVED_NAMES or name in services:
        node.refuse(
            "mesh.tokens", f"{name[:80]!r} cannot be the name of the token service",
            hint="a service name that no other service has",
        )  # fmt: skip
    service = MeshService(
        name=name, command=(), socket=True, directory=settings.policy_path.parent, builtin=True,
        where=node.where,
    )  # fmt: skip
    return {name: service}


def _outside(node: Node) -> dict[str, Address]:
    return {host: _address(host, value) for host, value in node.mapping().items()}


def _host_and_port(name: str, node: Node) -> tuple[str, int]:
    address = _address(name, node)
    return address.host, address.port


def _address(name: str, node: Node) -> Address:
    if not _HOST.fullmatch(name):
        node.refuse("mesh.outside", f"{name[:80]!r} is not a host name", hint="lower case, no port")
    host, _, port = node.text().rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        address = ""
    if not address or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        node.refuse(
            "mesh.outside", f"{node.path} is not IP:port", hint="for example 127.0.0.1:8443"
        )
    return Address(host=address, port=int(port))
