"""The ground under a running mesh: its state directory, its lock, its addresses.

One supervisor at a time uses a state directory; the lock is on the directory itself, so that
nothing is left of it, not even after SIGKILL. What exists only while the mesh runs is removed
before and after; records, keys and logs stay.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from meshwarden.adapters.process.account import find_account
from meshwarden.adapters.spiffe.attestation import start_ticks_of
from meshwarden.control.layout import BORDER, WORKLOAD, Layout
from meshwarden.control.mesh import Address, Mesh
from meshwarden.control.supervision.model import Claim
from meshwarden.kernel import ConfigError


@contextlib.contextmanager
def occupied(layout: Layout) -> Iterator[None]:
    """Hold the state directory: created where missing, and removed again where it stayed empty.

    Raises:
        ConfigError: `state.in_use` where another supervisor holds it, `state.unusable` where it
            cannot be created or belongs to another account.
    """
    with refusing(layout.state):
        layout.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(layout.state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(directory).st_uid != os.geteuid():
            raise ConfigError(
                "state.unusable",
                f"the state directory {layout.state} belongs to another account",
                hint="name one of your own with --state",
            )
        _lock(directory, layout)
        yield
    finally:
        os.close(directory)
        with contextlib.suppress(OSError):
            layout.state.rmdir()


def _lock(directory: int, layout: Layout) -> None:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = ""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            holder = f" (process {json.loads(layout.processes.read_text())['supervisor']})"
        raise ConfigError(
            "state.in_use",
            f"another meshwarden{holder} runs on the state directory {layout.state}",
            hint="stop it, or name another directory with --state",
        ) from None


def prepare(mesh: Mesh, layout: Layout) -> None:
    """Create the directories of the layout, empty where they belong to one run only.

    Raises:
        ConfigError: `state.unusable`; `process.user` where a service's account cannot get at its
            socket's directory.
    """
    clean(layout)
    users = {name: service.user for name, service in mesh.services.items() if service.user}
    # Another account has to pass through to its own directory; it can list nothing on the way.
    passage = 0o711 if users or layout.isolated else 0o700
    with refusing(layout.state):
        layout.state.chmod(passage)
        _make(layout.run_dir, passage)
        _make(layout.logs_dir, 0o711 if layout.isolated else 0o700)
        for name in layout.proxies():
            _make(layout.service_logs_dir(name), 0o700)
            closed = not layout.isolated and name not in users
            _make(layout.service_run_dir(name), 0o700 if closed else passage)
            _make(layout.app_dir(name), 0o700)
            _make(layout.own_dir(name), 0o700)
    if layout.isolated:
        return  # there all accounts are other ones, see `isolation`
    for name, user in users.items():
        _hand_over(layout.app_dir(name), user, name)
    for name, service in mesh.services.items():
        if service.container and os.geteuid() == 0:
            os.chown(layout.app_dir(name), service.container.uid, -1)


def _make(directory: Path, mode: int) -> None:
    directory.mkdir(exist_ok=True)
    directory.chmod(mode)  # whatever the umask, and where it existed


def _hand_over(directory: Path, user: str, name: str) -> None:
    account = find_account(user, asker=name)
    for above in directory.parents:
        if not account.may_enter(above):
            raise ConfigError(
                "process.user",
                f"{name}: its user {user!r} cannot pass {above} to its socket in {directory}",
                hint="name one that it can reach, such as --state /var/lib/meshwarden",
            )
    os.chown(directory, account.uid, account.gid)


def clean(layout: Layout) -> None:
    """Remove what exists only while the mesh runs; other contents of the directory stay."""
    with refusing(layout.state):
        for name in (*layout.names, BORDER, WORKLOAD):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(layout.service_run_dir(name))
        for path in (layout.api_socket, layout.orders_socket, layout.processes):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # absent, or someone else keeps something there
            layout.run_dir.rmdir()


def store_processes(
    layout: Layout, processes: Mapping[str, int], instances: Mapping[str, str]
) -> None:
    """Write the process ids for whoever looks; a disk that is full is no reason to stop a mesh.

    Each with its start, in clock ticks since boot: the two together name one process. They are our
    own children and not reaped yet, so the numbers are theirs.
    """
    started = {name: start_ticks_of(pid) for name, pid in processes.items()}
    found = {
        "supervisor": os.getpid(),
        "processes": dict(processes),
        "started": started,
        "instances": dict(instances),
    }
    text = json.dumps(found, indent=1)
    draft = layout.processes.with_suffix(".new")
    with contextlib.suppress(OSError):
        draft.touch(mode=0o600)
        draft.write_text(text + "\n")
        draft.replace(layout.processes)


def claims_of(mesh: Mesh, layout: Layout) -> Iterator[Claim]:
    """Yield the addresses that the mesh file implies."""
    for name, service in mesh.services.items():
        for key, port in (("port", service.port), ("edge", service.edge)):
            if port is not None and not (layout.isolated and key == "port"):
                who = f"services.{name}.{key} ({service.where})"
                yield Claim(address=Address(host="127.0.0.1", port=port), who=who)
        if layout.isolated:  # only edges and partners' ends are in the machine's own network
            for address in service.partners.values():
                yield Claim(address=address, who=f"services.{name}.partners ({service.where})")
            continue
        for address in (layout.address(name), layout.proxy(name)):
            yield Claim(address=address, who=f"the sidecar of {name!r}")


def check_free(claims: Iterable[Claim]) -> None:
    """Refuse an address that something else listens on: ConfigError `mesh.address_in_use`."""
    for claim in claims:
        family = socket.AF_INET6 if ":" in claim.address.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((claim.address.host, claim.address.port))
                probe.listen(1)  # with SO_REUSEADDR only this collides with another listener
            except OSError as error:
                used = error.errno == errno.EADDRINUSE
                raise ConfigError(
                    "mesh.address_in_use" if used else "mesh.address_refused",
                    f"{claim.address}, asked for by {claim.who}, "
                    + ("is in use" if used else f"cannot be used: {error.strerror}"),
                    hint="stop what listens there, or choose another port"
                    if used
                    else "ports below 1024 need root",
                ) from error


@contextlib.contextmanager
def refusing(state: Path) -> Iterator[None]:
    """Turn what the disk refuses into ConfigError `state.unusable`."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            "state.unusable",
            f"the state directory {state} cannot be used: {error.filename}: {error.strerror}",
            hint="check its permissions, or name another with --state",
        ) from error
