"""A mesh's files, addresses and users."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from meshwarden.control.layout.names import BORDER
from meshwarden.control.layout.ports import INBOUND_PORT, OUTBOUND_PORT
from meshwarden.control.layout.service_files import ServiceFiles
from meshwarden.control.mesh import Address, Mesh
from meshwarden.kernel import ConfigError

MAX_SOCKET_PATH_BYTES: Final = 107  # sun_path of unix(7), without its final NUL
FIRST_HOST: Final = 10
FABRIC: Final = "10.213.0"  # isolated: each mesh has this network for itself
USERS: Final = range(61184, 65520)  # user ids that systemd sets aside for services started so


@dataclass(frozen=True, slots=True)
class Layout(ServiceFiles):
    """Paths and addresses of one mesh; ConfigError `state.path_too_long` where no socket would fit.

    Attributes:
        state: the state directory, absolute.
        names: the services in the order of the mesh file; the order decides the addresses.
        first_uid: the first of the mesh's own user ids; None: not isolated, all on loopback.
    """

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
