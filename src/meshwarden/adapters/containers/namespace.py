"""What this machine's kernel has of a container: its processes and its network.

An engine may run elsewhere, and its process numbers mean nothing here then. A container is here
where its first process is in a control group that carries its id.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from meshwarden.adapters.containers.codec import Container
from meshwarden.adapters.forensics import ProcessSet, Selection
from meshwarden.adapters.network.quarantine import cut_off, is_cut_off, let_in
from meshwarden.kernel import DependencyError


def control_group(container: Container) -> str | None:
    """Return the line of /proc/<pid>/cgroup that is the container's; None where it is not here."""
    if not container.pid:
        return None
    try:
        lines = Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    return next((line for line in lines if container.id in line), None)


def processes_of(container: Container) -> ProcessSet | None:
    """Return the processes of the container; None where they cannot be seen from here."""
    group = control_group(container)
    if group is None:
        return None
    return ProcessSet(Selection(leader=container.pid, control_group=group))


def cut_here(container: Container) -> None:
    """Have its network refuse every packet; nothing where it has none here. DependencyError."""
    with _entrance(container) as namespace:
        if namespace is not None:
            cut_off(namespace)


def let_in_here(container: Container) -> None:
    """Undo `cut_here`. DependencyError."""
    with _entrance(container) as namespace:
        if namespace is not None:
            let_in(namespace)


def may_pass_here(container: Container) -> bool:
    """Return whether the kernel may let packets of the container pass; False where it has none."""
    with _entrance(container) as namespace:
        if namespace is None:
            return not _is_alone(container) and control_group(container) is not None
        return not is_cut_off(namespace) and not _is_alone(container)


@contextlib.contextmanager
def _entrance(container: Container) -> Iterator[int | None]:
    """Yield its network namespace; None where it has none here, or where we may not enter it."""
    descriptor = None if os.geteuid() else _open(container)
    if descriptor is not None and _is_ours(descriptor):
        os.close(descriptor)
        raise DependencyError(
            "driver.shared_network", f"{container.name} shares the network of this machine"
        )
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(container: Container) -> int | None:
    places = [Path(f"/proc/{container.pid}/ns/net")] if control_group(container) else []
    if container.sandbox.startswith("/"):
        places.append(Path(container.sandbox))  # where it is between two starts
    for place in places:
        with contextlib.suppress(OSError):
            return os.open(place, os.O_RDONLY)
    return None


def _is_ours(descriptor: int) -> bool:
    ours, other = Path("/proc/self/ns/net").stat(), os.fstat(descriptor)
    return (ours.st_dev, ours.st_ino) == (other.st_dev, other.st_ino)


def _is_alone(container: Container) -> bool:
    """Return whether its network has no interface but loopback; unknown is no."""
    try:
        lines = Path(f"/proc/{container.pid}/net/dev").read_text().splitlines()[2:]
    except OSError:
        return False
    return {line.split(":")[0].strip() for line in lines} <= {"lo"}
