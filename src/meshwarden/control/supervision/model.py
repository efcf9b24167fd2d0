"""What the supervisor is told, and what it tells: wiring in, events out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from meshwarden.control.mesh import Address, MeshService


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An address that the mesh will listen on, and who asked for it, as an error would name it."""

    address: Address
    who: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """How the mesh's own processes are started around the services.

    Attributes:
        control_plane: its command.
        sidecar: the command of a service's sidecar; called before each of its starts.
        sidecar_ready: whether the sidecar serves; asked again and again after each of its starts.
        environment: variables that a service gets on top of its own; called before each start.
        claims: addresses that must be free besides those that the mesh file implies.
        border: the command of an isolated mesh's border; called before each of its starts.
        border_ready: whether the border serves.
    """

    control_plane: Sequence[str]
    sidecar: Callable[[MeshService], Sequence[str]]
    sidecar_ready: Callable[[MeshService], Awaitable[bool]]
    environment: Callable[[MeshService], Mapping[str, str]]
    claims: Sequence[Claim] = ()
    border: Callable[[], Sequence[str]] | None = None
    border_ready: Callable[[], Awaitable[bool]] | None = None


class EventKind(StrEnum):
    """What can happen to one process of the mesh."""

    STARTED = "started"
    HEALTHY = "healthy"
    EXITED = "exited"
    RESTARTING = "restarting"
    GAVE_UP = "gave-up"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to the process `name`.

    Attributes:
        kind: what.
        name: a service, `<service>.sidecar` or `control-plane`.
        pid: its process, where there is or was one.
        after_s: seconds since that process started; for RESTARTING, until the next start.
        detail: how it exited, or why it cannot be started; empty otherwise.
    """

    kind: EventKind
    name: str
    pid: int | None = None
    after_s: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        match self.kind:
            case EventKind.STARTED:
                return f"{self.name} started, process {self.pid}"
            case EventKind.HEALTHY:
                return f"{self.name} healthy after {self.after_s:.2f} s"
            case EventKind.EXITED:
                return f"{self.name} exited after {self.after_s:.2f} s: {self.detail}"
            case EventKind.RESTARTING:
                return f"{self.name} restarts in {self.after_s:.1f} s"
            case EventKind.GAVE_UP:
                return f"{self.name} given up: {self.detail}"
            case EventKind.STOPPED:
                return f"{self.name} stopped: {self.detail}"


EventSink = Callable[[Event], None]
