"""What a mesh file says, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from meshwarden.control.container_settings import ContainerSettings
from meshwarden.control.edge_certificate import EdgeCertificate
from meshwarden.control.federation import EndpointSettings, FederatedDomain
from meshwarden.control.response_settings import ResponseSettings
from meshwarden.control.tokens.settings import TokenSettings
from meshwarden.control.watching.settings import BehaviourSettings
from meshwarden.identity import LIFETIME_S

DEFAULT_START_TIMEOUT_S: Final = 30.0
DEFAULT_PIDS: Final = 4096  # enough for a runtime with a thread a request; a fork bomb ends there


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
