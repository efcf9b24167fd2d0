"""The isolation of a mesh's programs: who each runs as, in which network, and what it sees.

What a service may get hold of is decided three times over, so that one mistake opens nothing:

- By its network: loopback, and nothing beyond it but through its sidecar.
- By its user: service, sidecar and border are different ones, none with a capability. Each owns one
  directory; by that directory's group the one other program that connects there may pass.
- By its view: the state directory is hidden but for its own part, as are other programs' temporary
  files and sockets.

The control plane stays as it was started: it keeps the keys and works over Unix sockets alone.
"""

import contextlib
import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import meshwarden
from meshwarden.adapters.network import Network, Place, why_unavailable
from meshwarden.adapters.process import Program, resolve_program
from meshwarden.adapters.process.account import Account, find_account
from meshwarden.adapters.process.cgroup import ControlGroups
from meshwarden.adapters.process.health import Elsewhere
from meshwarden.adapters.process.room import (
    SHARED,
    Hide,
    Room,
    Show,
    barriers,
    kept,
    why_unconfinable,
)
from meshwarden.control.layout import (
    BORDER,
    FIRST_INBOUND_TCP_PORT,
    INBOUND_PORT,
    INBOUND_TCP_PORTS,
    OUTBOUND_PORT,
    REDIRECTED_PORT,
    USERS,
    Layout,
    layout_of,
)
from meshwarden.control.mesh import Mesh, MeshService
from meshwarden.kernel import ConfigError

BIND_LOW_PORTS: Final = 10  # CAP_NET_BIND_SERVICE
FIRST_HIGH_PORT: Final = 1024
SIDECAR_PROCESSES: Final = 256
OWN_DIR: Final = 0o2710  # what is made in it belongs to the group too
SHARED_DIR: Final = 0o2770  # the sidecar listens there as well
TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108  # each gets its own
RUN: Final = Path("/run")  # where the machine's own services have their sockets
NO_RESOLVER: Final = "# Names are in /etc/hosts; there is no resolver in this network.\n"


def why_not_isolated(*, loopback: bool) -> str | None:
    """Return why a mesh started now is not isolated, or None; `loopback`: it is not to be."""
    return "--loopback" if loopback else why_unavailable() or why_unconfinable()


def lay_out(mesh: Mesh, state: Path, *, isolated: bool) -> Layout:
    """Return the layout of `mesh`; isolated with user ids that nobody else uses now."""
    first_uid = _free_users(mesh, state) if isolated else None
    return layout_of(mesh, state, first_uid=first_uid)


class Isolation:
    """How the programs of one isolated mesh are shut in."""

    def __init__(self, mesh: Mesh, layout: Layout) -> None:
        self._mesh = mesh
        self._layout = layout
        self._network: Network | None = None
        self._groups: ControlGroups | None = None
        self._group_of: dict[str, Path] = {}

    @property
    def control_groups(self) -> list[Path]:
        """The control groups that were made, inner ones first; somebody has to remove them."""
        return self._groups.directories if self._groups else []

    @contextlib.contextmanager
    def built(self) -> Iterator[None]:
        """Have directories and network while the context lasts; `ground.prepare` comes before.

        Raises:
            DependencyError: `network.refused`.
        """
        self._prepare()
        self._network = Network([self._place(name) for name in self._layout.names])
        self._limit()
        try:
            yield
        finally:
            self._network.close()

    def service(self, service: MeshService, program: Program) -> Program:
        """Return the program of a service, shut in.

        Raises:
            ConfigError: `process.user` where its user would undo the isolation,
                `process.directory` where it may not enter its working directory.
        """
        name = service.name
        account = self._account(service)
        resolve_program(program)
        if service.directory.resolve() != self._layout.state:  # that is hidden, and empty
            _check_open(program, account)
        needed = [*_interpreter(), service.directory, *_named_in(program)]
        etc = self._layout.etc_dir(name)
        own_files = ["hosts", "resolv.conf"] + ([] if service.user else ["passwd", "group"])
        view: list[Hide | Show] = [
            *(Hide(at=place, mode=SHARED) for place in TEMPORARY),
            Hide(at=RUN),
            *barriers([*needed, self._layout.state], account),
            *kept(needed),
            Hide(at=self._layout.state),
            Show(source=self._layout.app_dir(name), at=self._layout.app_dir(name)),
            Show(source=self._layout.workload_dir, at=self._layout.workload_dir),
            *(Show(source=etc / file, at=(Path("/etc") / file).resolve()) for file in own_files),
        ]
        limits = service.limits
        room = Room(
            view=view,
            network=self._namespace(name),
            cgroup=self._group_of.get(name),
            processes=limits.pids,
            # Next best where there is no control group: each process by itself.
            data_bytes=None if name in self._group_of else limits.memory_bytes,
            umask=0o007,  # the sidecar, by its group, connects to the socket that the service makes
        )
        environment = {**program.environment, "TMPDIR": "/tmp"}  # noqa: S108  # its own
        return replace(
            program,
            environment=environment,
            account=None if service.user else account,
            room=room,
        )

    def sidecar(self, name: str, program: Program) -> Program:
        """Return the program of a service's sidecar, shut in."""
        layout = self._layout
        account = _nobody(layout.sidecar_uid(name))
        seen = [layout.service_run_dir(name), layout.service_logs_dir(name)]
        view = [Hide(at=RUN), *self._own_view(account, seen)]
        room = Room(view=view, network=self._namespace(name), processes=SIDECAR_PROCESSES)
        return replace(program, account=account, room=room, directory=Path("/"))

    def attendant(self, name: str, program: Program) -> Program:
        """Return what stands for a service in a container, in the service's place in the network.

        It needs none itself: where a suspect stands, its cut is tried from there.
        """
        return replace(program, room=Room(view=[], network=self._namespace(name)))

    def border(self, program: Program) -> Program:
        """Return the program of the border, shut in, in the machine's own network."""
        services = self._mesh.services.values()
        ports = [service.edge for service in services if service.edge]
        ports += [end.port for service in services for end in service.partners.values()]
        low = min(ports, default=FIRST_HIGH_PORT) < FIRST_HIGH_PORT
        account = _nobody(self._layout.border_uid, capability=BIND_LOW_PORTS if low else None)
        room = Room(
            view=self._own_view(account, [self._layout.run_dir]), processes=SIDECAR_PROCESSES
        )
        return replace(program, account=account, room=room, directory=Path("/"))

    def target(self, name: str, address: tuple[str, int]) -> Elsewhere:
        """Return an address in the network of the service `name`, to be connected to."""
        return Elsewhere(address=address, open_socket=lambda: self.socket(name))

    def socket(self, name: str, *, uid: int | None = None) -> socket.socket:
        """Return a TCP socket in the network of the service `name`, as if opened by user `uid`."""
        assert self._network  # noqa: S101  # it is built before anything runs
        return self._network.socket(name, uid=uid)

    def namespace(self, name: str) -> int:
        """Return the descriptor of the network namespace of the service `name`."""
        assert self._network  # noqa: S101  # it is built before anything runs
        return self._network.namespaces[name]

    def _limit(self) -> None:
        """Make a control group for each service, where there can be one."""
        self._groups = ControlGroups.make(f"meshwarden-{self._layout.border_uid}")
        for name, service in self._mesh.services.items():
            if self._groups is None:
                return
            with contextlib.suppress(OSError):
                limits = service.limits
                self._group_of[name] = self._groups.add(
                    name, memory_bytes=limits.memory_bytes, pids=limits.pids
                )

    def _own_view(self, account: Account, seen: Sequence[Path]) -> list[Hide | Show]:
        needed = _interpreter()
        return [
            *(Hide(at=place, mode=SHARED) for place in TEMPORARY),
            *barriers([*needed, self._layout.state], account),
            *kept(needed),
            Hide(at=self._layout.state),
            *(Show(source=path, at=path) for path in seen),
        ]

    def _namespace(self, name: str) -> int | None:
        return self._network.namespaces[name] if self._network else None

    def _account(self, service: MeshService) -> Account:
        if service.container is not None:
            return _nobody(service.container.uid)
        if service.user is None:
            return _nobody(self._layout.service_uid(service.name))
        account = find_account(service.user, asker=service.name)
        others = [other for other in self._mesh.services.values() if other.user == service.user]
        if account.uid == 0 or len(others) > 1:
            why = "is root" if account.uid == 0 else f"runs {others[0].name} and {others[1].name}"
            raise ConfigError(
                "process.user",
                f"{service.name}: its user {service.user!r} {why}, which would undo the isolation",
                hint="remove `user`, so that it gets one of its own, or use --loopback",
            )
        return account

    def _place(self, name: str) -> Place:
        last = FIRST_INBOUND_TCP_PORT + INBOUND_TCP_PORTS - 1
        return Place(
            name=name,
            address=self._layout.host(name),
            sidecar_uid=self._layout.sidecar_uid(name),
            inbound=(str(INBOUND_PORT), f"{FIRST_INBOUND_TCP_PORT}-{last}"),
            http_port=OUTBOUND_PORT,
            other_port=REDIRECTED_PORT,
        )

    def _prepare(self) -> None:
        """Give each directory to the one that writes it, and to the group of who connects there."""
        layout = self._layout
        for name, service in self._mesh.services.items():
            account, sidecar = self._account(service), layout.sidecar_uid(name)
            shared = SHARED_DIR if service.container else OWN_DIR
            _hand_over(layout.app_dir(name), account.uid, sidecar, mode=shared)
            _hand_over(layout.own_dir(name), sidecar, layout.border_uid)
            layout.out_dir(name).mkdir()
            _hand_over(layout.out_dir(name), layout.border_uid, sidecar)
            logs = layout.service_logs_dir(name)
            for path in (logs, *logs.iterdir()):
                os.chown(path, sidecar, sidecar, follow_symlinks=False)
            _store_etc(layout.etc_dir(name), account)
        _hand_over(layout.own_dir(BORDER), layout.border_uid, layout.border_uid)


def _check_open(program: Program, account: Account) -> None:
    if program.directory.is_dir() and not account.may_enter(program.directory):
        raise ConfigError(
            "process.directory",
            f"{program.name}: its directory {program.directory} is closed to the user that an"
            " isolated service runs as",
            hint="chmod a+rx it, or name another with `directory`, or use --loopback",
        )


def _hand_over(directory: Path, uid: int, gid: int, *, mode: int = OWN_DIR) -> None:
    os.chown(directory, uid, gid)
    directory.chmod(mode)


def _store_etc(directory: Path, account: Account) -> None:
    directory.mkdir(mode=0o700)
    entries = {
        "hosts": "",  # the control plane writes it
        "resolv.conf": NO_RESOLVER,
        "passwd": _with("passwd", f"{account.name}:x:{account.uid}:{account.gid}::/tmp:/bin/false"),
        "group": _with("group", f"{account.name}:x:{account.gid}:"),
    }
    for name, text in entries.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o644)


def _with(name: str, line: str) -> str:
    """Return the machine's own list with `line`; many programs ask for the name of their user."""
    try:
        return f"{(Path('/etc') / name).read_text()}{line}\n"
    except OSError:
        return f"{line}\n"


def _nobody(uid: int, capability: int | None = None) -> Account:
    """Return an account that the machine does not know."""
    return Account(
        name=f"meshwarden-{uid}",
        uid=uid,
        gid=uid,
        groups=(uid,),
        home="/tmp",  # noqa: S108  # its own
        capability=capability,
    )


def _interpreter() -> list[Path]:
    """Return where this Python and this package are: the launcher needs both."""
    package = Path(meshwarden.__file__).parent
    return [Path(sys.prefix), Path(sys.base_prefix), package]


def _named_in(program: Program) -> list[Path]:
    """Return where the command's program is installed, and the folders of files it names."""
    name, *arguments = program.command
    candidate = str(program.directory / name) if "/" in name else name
    found = shutil.which(candidate, path=program.environment.get("PATH", os.defpath))
    files = [Path(found)] if found else []
    files += [Path(argument) for argument in arguments if argument.startswith("/")]
    folders = {way.parent for file in files if file.is_file() for way in (file, file.resolve())}
    folders = {folder.parent if folder.name == "bin" else folder for folder in folders}
    # Never a whole home or temporary directory because a program lies right in it.
    whole = {Path("/"), Path("/root"), *TEMPORARY}
    return [folder for folder in folders if folder not in whole]


def _free_users(mesh: Mesh, state: Path) -> int:
    """Return the first of the mesh's user ids: the same each time unless another mesh has them."""
    count = 1 + 2 * len(mesh.services)
    starts = len(USERS) - count
    digest = hashlib.sha256(bytes(state.resolve())).digest()
    first = int.from_bytes(digest[:4], "big")
    taken = _users_at_work()
    for attempt in range(starts // count + 1):
        start = USERS.start + (first + attempt * count) % starts
        if taken.isdisjoint(range(start, start + count)):
            return start
    raise ConfigError(
        "isolation.users", f"too few of the user ids {USERS.start} to {USERS.stop - 1} are free"
    )


def _users_at_work() -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.add(entry.stat().st_uid)
    return found
