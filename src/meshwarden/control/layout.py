"""Where a running mesh keeps its files, which addresses its sidecars have, and as whom all run.

Supervisor and control plane run as two processes; both compute the same values from the state
directory and the names of the services alone, isolated also from the first of the mesh's user ids.
Nothing here creates or changes a file.

Everything below the state directory is private to the account that runs meshwarden. Only `app/`, in
which a service creates its own socket, belongs to the service's account: a service could otherwise
put its own socket in the place of its sidecar's. In an isolated mesh `own/` belongs to the sidecar
and `out/` to the border, and each lets in the one that has to connect, by its group.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from meshwarden.control.mesh import Address, Mesh
from meshwarden.kernel import ConfigError

BEHAVIOUR_STATE: Final = Path("behaviour") / "model"
INBOUND_PORT: Final = 15443  # mutual TLS, HTTP
FEDERATED_PORT: Final = 15444  # mutual TLS, HTTP, for callers of other trust domains
OUTBOUND_PORT: Final = 15001  # the service's HTTP proxy
FIRST_INBOUND_TCP_PORT: Final = 20000  # mutual TLS, connections
INBOUND_TCP_PORTS: Final = 40000  # the clear ports below lie within, and are left out
FIRST_FEDERATED_TCP_PORT: Final = 61000  # the same, for callers of other trust domains
FEDERATED_TCP_PORTS: Final = 4000  # above those that Linux takes of its own choice
FIRST_OUTBOUND_TCP_PORT: Final = 30000  # the service's own connections, in the clear
OUTBOUND_TCP_PORTS: Final = 2700  # up to the range that Linux takes ports of its own choice from
MAX_SOCKET_PATH_BYTES: Final = 107  # sun_path of unix(7), without its final NUL
FIRST_HOST: Final = 10
CONTROL_PLANE: Final = "control-plane"
WORKLOAD: Final = "workload"
BORDER: Final = "border"  # isolated: the one that leads in from the machine and out to the world
REDIRECTED_PORT: Final = 15006  # isolated: connections of a service that knows no proxy
FABRIC: Final = "10.213.0"  # isolated: each mesh has this network for itself
USERS: Final = range(61184, 65520)  # user ids that systemd sets aside for services started so


def inbound_tcp_ports(ports: Iterable[int]) -> dict[int, int]:
    """Return for each `tcp` port of one service's rules the one that takes mutual TLS for it.

    It follows from the port itself, so that a policy change moves no other. Only where its own
    place is also that of a lower one, or among the clear ports, it takes the next that is free.

    Raises:
        ConfigError: `mesh.too_many_tcp` where there are more than places.
    """
    clear = range(FIRST_OUTBOUND_TCP_PORT, FIRST_OUTBOUND_TCP_PORT + OUTBOUND_TCP_PORTS)
    own = {port: FIRST_INBOUND_TCP_PORT + port % INBOUND_TCP_PORTS for port in ports}
    if len(own) > INBOUND_TCP_PORTS - OUTBOUND_TCP_PORTS:
        raise ConfigError("mesh.too_many_tcp", f"one service accepts {len(own)} tcp ports")
    found: dict[int, int] = {}
    taken = set(clear)
    for port in sorted(
        own, key=lambda port: (port >= INBOUND_TCP_PORTS or own[port] in clear, port)
    ):
        place = own[port]
        while place in taken:
            place = (
                FIRST_INBOUND_TCP_PORT + (place + 1 - FIRST_INBOUND_TCP_PORT) % INBOUND_TCP_PORTS
            )
        found[port] = place
        taken.add(place)
    return found


def federated_tcp_ports(ports: Iterable[int]) -> dict[int, int]:
    """Return for each `tcp` port that other trust domains may use the one that takes them.

    Otherwise as `inbound_tcp_ports`.
    """
    found: dict[int, int] = {}
    for port in sorted(ports):
        if len(found) == FEDERATED_TCP_PORTS:
            raise ConfigError(
                "mesh.too_many_tcp", f"one service accepts over {len(found)} tcp ports of partners"
            )
        place = port % FEDERATED_TCP_PORTS
        while FIRST_FEDERATED_TCP_PORT + place in found.values():
            place = (place + 1) % FEDERATED_TCP_PORTS
        found[port] = FIRST_FEDERATED_TCP_PORT + place
    return found


def outbound_tcp_ports(destinations: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the clear port of each of a caller's tcp destinations (service, port).

    It follows from the destination's own name: a policy change never moves another one to the port
    that a running service was told. Only of two whose names fall on the same port, some one pair in
    2700, the later by name takes the next.

    Raises:
        ConfigError: `mesh.too_many_tcp` where there are more destinations than ports.
    """
    found: dict[tuple[str, int], int] = {}
    for name, port in sorted(destinations):
        if len(found) == OUTBOUND_TCP_PORTS:
            raise ConfigError(
                "mesh.too_many_tcp", f"one service has more than {len(found)} tcp destinations"
            )
        digest = hashlib.sha256(f"{name}:{port}".encode()).digest()
        place = int.from_bytes(digest[:8]) % OUTBOUND_TCP_PORTS
        while FIRST_OUTBOUND_TCP_PORT + place in found.values():
            place = (place + 1) % OUTBOUND_TCP_PORTS
        found[name, port] = FIRST_OUTBOUND_TCP_PORT + place
    return found


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths and addresses of one mesh; ConfigError `state.path_too_long` where no socket would fit.

    Attributes:
        state: the state directory, absolute.
        names: the services in the order of the mesh file; the order decides the addresses.
        first_uid: the first of the mesh's own user ids; None: not isolated, all on loopback.
    """

    state: Path
    names: tuple[str, ...]
    first_uid: int | None = None

    def __post_init__(self) -> None:
        sockets = (self.app_socket(max(self.names, key=len, default="-")), self.workload_socket)
        longest = max(sockets, key=lambda path: len(bytes(path)))
        if len(bytes(longest)) > MAX_SOCKET_PATH_BYTES:
            raise ConfigError(
                "state.path_too_long",
                f"the state directory {self.state} is too long: the path of a Unix socket has at"
                f" most {MAX_SOCKET_PATH_BYTES} bytes, {longest} would have {len(bytes(longest))}",
                hint="name a shorter one with --state",
            )

    @property
    def isolated(self) -> bool:
        """Whether each service has a network and a user of its own."""
        return self.first_uid is not None

    @property
    def border_uid(self) -> int:
        """The border's user and group, in an isolated mesh."""
        assert self.first_uid is not None  # noqa: S101  # nobody asks otherwise
        return self.first_uid

    def service_uid(self, name: str) -> int:
        """The user and group of a service without a `user`, in an isolated mesh."""
        return self.border_uid + 1 + 2 * self.names.index(name)

    def sidecar_uid(self, name: str) -> int:
        """The user and group of a service's sidecar, in an isolated mesh."""
        return self.border_uid + 2 + 2 * self.names.index(name)

    def proxies(self) -> dict[str, int | None]:
        """The mesh's Envoys by name, each with its user where that is one of its own."""
        if not self.isolated:
            return dict.fromkeys(self.names)
        found: dict[str, int | None] = {name: self.sidecar_uid(name) for name in self.names}
        return found | {BORDER: self.border_uid}

    @property
    def network(self) -> str:
        """The three leading bytes of all addresses; on loopback derived from the directory."""
        return FABRIC if self.isolated else _network_of(self.state)

    @property
    def authority_dir(self) -> Path:
        """Keys of the certificate authority."""
        return self.state / "ca"

    @property
    def run_dir(self) -> Path:
        """What exists only while the mesh runs."""
        return self.state / "run"

    @property
    def logs_dir(self) -> Path:
        """Access logs (the record) and output of the services."""
        return self.state / "logs"

    @property
    def calls_dir(self) -> Path:
        """Recorded calls, as Parquet files."""
        return self.state / "calls"

    @property
    def accepted_policy(self) -> Path:
        """The policy file that was accepted last, for a start while the file itself is broken."""
        return self.state / "accepted-policy.yaml"

    @property
    def identity_register(self) -> Path:
        """What was issued, renewed, refused and revoked, one JSON object a line."""
        return self.state / "identity.jsonl"

    @property
    def lists_dir(self) -> Path:
        """The revocation list of each issuer."""
        return self.state / "crl"

    @property
    def findings(self) -> Path:
        """Findings, one JSON object a line."""
        return self.state / "findings.jsonl"

    @property
    def behaviour(self) -> Path:
        """What the behaviour model has learned."""
        return self.state / BEHAVIOUR_STATE

    @property
    def processes(self) -> Path:
        """Process ids of the running mesh, as JSON."""
        return self.state / "up.json"

    @property
    def api_socket(self) -> Path:
        """The control plane's own API."""
        return self.run_dir / "api.sock"

    @property
    def orders_socket(self) -> Path:
        """Where the supervisor takes orders of the control plane, and of nobody else."""
        return self.run_dir / "orders.sock"

    @property
    def incidents(self) -> Path:
        """The incidents' records."""
        return self.state / "incidents" / "incidents.sqlite"

    @property
    def containers_dir(self) -> Path:
        """What must be known of suspects in containers after a crash."""
        return self.state / "incidents" / "containers"

    @property
    def evidence_dir(self) -> Path:
        """Archives of evidence, and the key that signs them."""
        return self.state / "evidence"

    @property
    def workload_dir(self) -> Path:
        """What isolated services are shown of the Workload API; outlives the socket in it."""
        return self.run_dir / WORKLOAD

    @property
    def workload_socket(self) -> Path:
        """The SPIFFE Workload API, for every process that may pass the directories above it."""
        return self.workload_dir / "workload.sock"

    @property
    def registrations(self) -> Path:
        """Who may have which identity besides the mesh's own services."""
        return self.state / "registrations.json"

    @property
    def federation_dir(self) -> Path:
        """The last good bundles of other trust domains."""
        return self.state / "federation"

    @property
    def jwt_keys(self) -> Path:
        """The keys that sign JWT-SVIDs."""
        return self.state / "jwt-keys.json"

    @property
    def token_state(self) -> Path:
        """Keys, chains, revocations and histories of the token service."""
        return self.state / "tokens" / "tokens.sqlite"

    def service_run_dir(self, name: str) -> Path:
        """Sockets and configuration of the service's sidecar."""
        return self.run_dir / name

    def xds_socket(self, name: str) -> Path:
        """Where the control plane configures this sidecar."""
        return self.service_run_dir(name) / "xds.sock"

    def authorizer_socket(self, name: str) -> Path:
        """Where this sidecar asks for what takes live state to decide."""
        return self.service_run_dir(name) / "authz.sock"

    def admin_socket(self, name: str) -> Path:
        """The sidecar's administration interface."""
        return self.own_dir(name) / "admin"

    def own_dir(self, name: str) -> Path:
        """The one directory that the sidecar's account may write."""
        return self.service_run_dir(name) / "own"

    def edge_socket(self, name: str) -> Path:
        """Where an isolated sidecar takes what the border brings in."""
        return self.own_dir(name) / "edge"

    def partners_socket(self, name: str, port: int | None) -> Path:
        """Where an isolated sidecar takes partners' requests (None) or connections to `port`."""
        return self.own_dir(name) / ("p" if port is None else f"p{port}")

    def out_dir(self, name: str) -> Path:
        """Where the border listens for this sidecar."""
        return self.service_run_dir(name) / "out"

    def out_socket(self, name: str, host: str, port: int) -> Path:
        """Where the border takes connections of this sidecar to an outside host."""
        return self.out_dir(name) / hashlib.sha256(f"{host}:{port}".encode()).hexdigest()[:8]

    def etc_dir(self, name: str) -> Path:
        """Files that an isolated service sees in its /etc."""
        return self.service_run_dir(name) / "etc"

    def hosts(self, name: str) -> Path:
        """The isolated service's hosts file."""
        return self.etc_dir(name) / "hosts"

    def bootstrap(self, name: str) -> Path:
        """The configuration that the sidecar starts with."""
        return self.service_run_dir(name) / "envoy.yaml"

    def app_dir(self, name: str) -> Path:
        """The one directory that the service's own account may write."""
        return self.service_run_dir(name) / "app"

    def app_socket(self, name: str) -> Path:
        """Where a service with `socket: true` listens."""
        return self.app_dir(name) / "app.sock"

    def out_of_container(self, name: str) -> Path:
        """Where the sidecar of a service in a container takes that service's own requests."""
        return self.app_dir(name) / "out.sock"

    def service_logs_dir(self, name: str) -> Path:
        """The sidecar's access logs."""
        return self.logs_dir / name

    def access_log(self, name: str) -> Path:
        """The sidecar's access log, the record of calls."""
        return self.service_logs_dir(name) / "access.log"

    def output_log(self, name: str) -> Path:
        """What the process of that name printed."""
        return self.logs_dir / f"{name}.log"

    def host(self, name: str) -> str:
        """The service's own address, as IP address."""
        return f"{self.network}.{FIRST_HOST + _places_of(self.names)[name]}"

    def address(self, name: str) -> Address:
        """Where the service's sidecar takes HTTP from other sidecars."""
        return Address(host=self.host(name), port=INBOUND_PORT)

    def proxy(self, name: str) -> Address:
        """Where the service's sidecar takes the service's own calls."""
        host = "127.0.0.1" if self.isolated else self.host(name)
        return Address(host=host, port=OUTBOUND_PORT)


@lru_cache(maxsize=16)
def _network_of(state: Path) -> str:
    digest = hashlib.sha256(bytes(state)).digest()
    return f"127.{1 + digest[0] % 254}.{digest[1]}"  # never 127.0: that is the services' own


@lru_cache(maxsize=16)
def _places_of(names: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def layout_of(mesh: Mesh, state: Path, *, first_uid: int | None = None) -> Layout:
    """Return the layout of `mesh` below the directory `state`; isolated with `first_uid`."""
    return Layout(state.resolve(), tuple(mesh.services), first_uid)


def sidecar_name(service: str) -> str:
    """Return the name of a service's sidecar in events and logs; a service's own has no dot."""
    return f"{service}.sidecar"


def service_environment(
    mesh: Mesh, layout: Layout, name: str, tcp: Iterable[tuple[str, int, Address]] = ()
) -> dict[str, str]:
    """Return the variables through which a service finds the mesh, besides its own.

    Args:
        mesh: the mesh that holds it.
        layout: its layout.
        name: the service.
        tcp: destinations of connections that the policy lets it open: service, port, and where
            its sidecar takes them.
    """
    service = mesh.services[name]
    proxy = f"http://{layout.proxy(name)}"
    found = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": ""}
    # curl reads only http_proxy, Go and Python either spelling, Node.js both with the switch.
    found |= {key.lower(): value for key, value in found.items()}
    found["NODE_USE_ENV_PROXY"] = "1"
    found["SPIFFE_ENDPOINT_SOCKET"] = f"unix://{layout.workload_socket}"
    if service.socket:
        found["MESHWARDEN_SOCKET"] = str(layout.app_socket(name))
    if service.port is not None:
        found["PORT"] = str(service.port)
    for other, port, address in tcp:
        variable = f"MESHWARDEN_TCP_{other.replace('-', '_').upper()}_{port}"
        found[variable] = str(address)
    return found
