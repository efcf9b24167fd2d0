"""The driver of a mesh some of whose services run in containers: each half is cut, ended, replaced.

A service in a container has its sidecar, its place in the mesh and its instance's name from the
supervisor, like any other; its processes, and whatever network it has besides, are its engine's.
Which container an instance is, is written down when it is first asked for: its replacement has
another id under the same name.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from meshwarden.adapters.containers import ContainerDriver
from meshwarden.adapters.storage.durable import write_whole
from meshwarden.control.response.process_driver import ProcessDriver
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Instance, SnapshotSources


@dataclass(kw_only=True)
class PlacedDriver:
    """Services in containers.

    Attributes:
        processes: what the supervisor does: sidecars, networks, whatever runs without a container.
        containers: by service, what its engine does.
        folder: private directory of which container each instance is.
    """

    processes: ProcessDriver
    containers: Mapping[str, ContainerDriver]
    folder: Path
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def running(self, service: str) -> Instance | None:
        """Return the instance of `service` that is there now; None where none is."""
        return await self.processes.running(service)

    async def freeze(self, instance: Instance) -> int:
        """Stop all its processes where they are; return how many."""
        if (inside := await self._inside(instance)) is None:
            return await self.processes.freeze(instance)
        return await self.containers[instance.service].freeze(inside)

    async def thaw(self, instance: Instance) -> None:
        """Let them run on."""
        if (inside := await self._inside(instance)) is None:
            await self.processes.thaw(instance)
        else:
            await self.containers[instance.service].thaw(inside)

    async def snapshot_sources(self, instance: Instance) -> SnapshotSources:
        """Return where evidence is read; of a container with what its sidecar wrote."""
        if (inside := await self._inside(instance)) is None:
            return await self.processes.snapshot_sources(instance)
        found = await self.containers[instance.service].snapshot_sources(inside)
        layout = self.processes.layout
        log = layout.access_log(instance.service)
        return replace(found, files={**found.files, "sidecar-access.log": log})

    async def cut_network(self, instance: Instance) -> str:
        """Cut it off in both directions, by supervisor and engine; return what was done."""
        async with self._turn(instance):
            return await self._cut(instance)

    async def _cut(self, instance: Instance) -> str:
        inside = await self._inside(instance)
        half = self.processes.cut_network(instance)
        if inside is None:
            return await half
        said = await asyncio.gather(
            half, self.containers[instance.service].cut_network(inside), return_exceptions=True
        )
        for one in said:
            if isinstance(one, BaseException):  # the other half holds all the same
                raise one
        return "; ".join(map(str, said))

    async def network_is_cut(self, instance: Instance) -> bool:
        """Return whether `cut_network` holds, by the word of both."""
        inside = await self._inside(instance)
        if not await self.processes.network_is_cut(instance):
            return False
        return inside is None or await self.containers[instance.service].network_is_cut(inside)

    async def restore_network(self, instance: Instance) -> None:
        """Undo `cut_network`, which is over by then."""
        async with self._turn(instance):
            if (inside := await self._inside(instance)) is not None:
                await self.containers[instance.service].restore_network(inside)
            await self.processes.restore_network(instance)

    async def stop(self, instance: Instance) -> None:
        """End all its processes; it is not started again until `replace`."""
        inside = await self._inside(instance)
        await self.processes.stop(instance)
        if inside is not None:
            await self.containers[instance.service].stop(inside)

    async def replace(self, instance: Instance, *, timeout_s: float) -> Instance:
        """Return a clean instance in its place: a new container, then a new sidecar for it."""
        if await self.running(instance.service) == instance:
            inside = await self._inside(instance)
            if inside is not None:
                await self.processes.stop(instance)
                socket = self.processes.layout.app_socket(instance.service)
                await asyncio.to_thread(socket.unlink, missing_ok=True)  # the suspect's
                await self.containers[instance.service].replace(inside, timeout_s=timeout_s)
        return await self.processes.replace(instance, timeout_s=timeout_s)

    async def healthy(self, instance: Instance) -> bool:
        """Return whether it runs and serves."""
        inside = await self._inside(instance)
        if inside is not None and not await self.containers[instance.service].healthy(inside):
            return False
        return await self.processes.healthy(instance)

    def _turn(self, instance: Instance) -> asyncio.Lock:
        return self._turns.setdefault(instance.service, asyncio.Lock())

    async def _inside(self, instance: Instance) -> Instance | None:
        """Return the container of `instance`; None where it runs in none.

        Raises:
            StateError: `driver.gone` where it was replaced before anybody asked for it.
            DependencyError: `driver.ended` where there is no container of that name.
        """
        driver = self.containers.get(instance.service)
        if driver is None:
            return None
        path = self.folder / f"{instance.name}.container"
        known = await asyncio.to_thread(_load, path)
        if known is None:
            if await self.running(instance.service) != instance:
                raise StateError("driver.gone", f"{instance.name} was replaced")
            found = await driver.running(instance.service)
            if found is None:
                raise DependencyError("driver.ended", f"{instance.service} has no container now")
            known = found.name
            await asyncio.to_thread(_store, path, known)
        return Instance(service=instance.service, name=known)


def _load(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DependencyError("driver.remember", f"{path}: {error.strerror}") from error


def _store(path: Path, name: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, lambda draft: _write(draft, name), replaces=True)
    except OSError as error:
        raise DependencyError("driver.remember", f"{path}: {error.strerror}") from error


def _write(path: Path, name: str) -> None:
    path.write_text(name)
