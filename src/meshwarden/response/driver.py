"""Where workloads run, as the response needs it: a port with one driver for each kind of place.

Rules for every driver; one suite of tests holds for all of them:

- Each method may be called again after a crash: what has been done already is not done twice, and
  what is gone already is no error.
- An instance lasts until `replace`. Where the place starts it again by itself after it ended, that
  is the same one: a suspect that ends is none the cleaner. Its replacement has another name, and
  what is asked of an instance never touches its replacement.
- They raise DependencyError where the place does not do it, StateError `driver.gone` where the
  instance was replaced already and the question makes no sense without it. Who calls bounds their
  time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running instance of a service.

    Attributes:
        service: its name in the mesh.
        name: how the driver knows it; a container's id. Never given twice.
    """

    service: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSources:
    """Where evidence about a frozen instance is read.

    Attributes:
        leader: its first process, as this machine numbers it; None where it cannot be seen.
        uid: the user that is this instance's alone; None where it shares one.
        control_group: the line of /proc/<pid>/cgroup that is this instance's alone; None: none is.
        directories: those that it can write, absolute as it sees them.
        started: when it was started, nanoseconds since the epoch, UTC.
        facts: what only the driver can tell, by name: how it was started, what it printed.
        files: large things that the driver has on disk for the archive, by name.
    """

    leader: int | None = None
    uid: int | None = None
    control_group: str | None = None
    directories: tuple[str, ...] = ()
    started: int = 0
    facts: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


class Driver(Protocol):
    """One kind of place."""

    async def running(self, service: str) -> Instance | None:
        """Return the instance of `service` that is there now; None where none is."""
        ...

    async def freeze(self, instance: Instance) -> int:
        """Stop all processes of `instance` where they are; return how many. Keeps memory."""
        ...

    async def thaw(self, instance: Instance) -> None:
        """Let them run on."""
        ...

    async def snapshot_sources(self, instance: Instance) -> SnapshotSources:
        """Return where evidence is read; the instance is frozen."""
        ...

    async def cut_network(self, instance: Instance) -> str:
        """Cut it off in both directions, open connections too; return what was done, in words.

        When this returns no octet passes any more, whatever the instance runs.
        """
        ...

    async def network_is_cut(self, instance: Instance) -> bool:
        """Return whether `cut_network` holds."""
        ...

    async def restore_network(self, instance: Instance) -> None:
        """Give it back the network that it had before `cut_network`."""
        ...

    async def stop(self, instance: Instance) -> None:
        """End all its processes; it is not started again until `replace`."""
        ...

    async def replace(self, instance: Instance, *, timeout_s: float) -> Instance:
        """Return a clean instance in its place, healthy and with a network of its own again.

        `instance` is ended first where it still runs. Where it was replaced already, the one that
        runs now is returned.

        Raises:
            DependencyError: `driver.never_healthy` after `timeout_s`.
        """
        ...

    async def healthy(self, instance: Instance) -> bool:
        """Return whether it runs and serves."""
        ...
