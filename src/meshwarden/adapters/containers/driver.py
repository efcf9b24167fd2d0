"""The driver of containers: Docker's or Podman's, wherever a socket leads to the engine.

How each thing is done:

- Freezing: the engine pauses all processes at once, so none forks away; each is then sent a stop
  signal, which takes effect when the engine lets them go. So they can be looked at by ptrace(2),
  which waits for ever for a process in the version 1 freezer. From elsewhere: paused alone.
- Cutting off: the engine takes its networks away and does not start it again by itself; and, where
  it runs on this machine, its network namespace refuses every packet. Either alone has a gap:
  Podman 4 forgets the network of a container that is just ending without removing its interface,
  and a namespace is a new one after a restart. What the kernel says decides.
- Replacing: a new container of the same image, by digest, that is asked for alike; compared when it
  is there. The old one is ended and stays under another name, for whoever looks into it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.adapters.containers.acting import (
    POLL_S,
    ROUNDS,
    bring,
    connect,
    disconnect,
    restart_as,
)
from meshwarden.adapters.containers.codec import Container
from meshwarden.adapters.containers.engine import Engine
from meshwarden.adapters.containers.evidence import keep_evidence
from meshwarden.adapters.containers.namespace import (
    control_group,
    cut_here,
    let_in_here,
    may_pass_here,
    processes_of,
)
from meshwarden.adapters.containers.remembered import Remembered
from meshwarden.adapters.containers.replacing import check_alike, end, join, make_like, serve
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Instance, SnapshotSources

_NEVER: Final = {"Name": "no", "MaximumRetryCount": 0}


@dataclass(kw_only=True)
class ContainerDriver:
    """Services that run in containers.

    Attributes:
        engine: who has them.
        names: the name of each service's container.
        folder: private directory for what must outlive this process, and for evidence.
    """

    engine: Engine
    names: Mapping[str, str]
    folder: Path

    async def running(self, service: str) -> Instance | None:
        """Return the instance of `service` that is there now; None where none is."""
        name = self.names.get(service)
        found = None if name is None else await self.engine.inspect(name)
        return None if found is None else Instance(service=service, name=found.id)

    async def freeze(self, instance: Instance) -> int:
        """Stop all its processes where they are; return how many (1 where they cannot be seen)."""
        container = await self._current(instance)
        if not container.running:
            return 0
        processes = processes_of(container)
        await bring(self.engine, container, lambda now: now.paused or not now.running, "pause")
        if processes is None:
            return 1
        await asyncio.to_thread(processes.ask_to_stop)
        await bring(self.engine, container, lambda now: not now.paused, "unpause")
        return await asyncio.to_thread(processes.stop)

    async def thaw(self, instance: Instance) -> None:
        """Let them run on."""
        container = await self._current(instance)
        await bring(self.engine, container, lambda now: not now.paused, "unpause")
        processes = processes_of(container)
        if processes is not None:
            await asyncio.to_thread(processes.resume)

    async def snapshot_sources(self, instance: Instance) -> SnapshotSources:
        """Return where evidence is read: by its engine and, on this machine, /proc."""
        container = await self._current(instance)
        kept = await keep_evidence(self.engine, container, self.folder / "evidence" / container.id)
        group = control_group(container)
        return SnapshotSources(
            leader=None if group is None else container.pid,
            control_group=group,
            directories=container.writable,
            started=container.started,
            facts=kept.facts,
            files=kept.files,
        )

    async def cut_network(self, instance: Instance) -> str:
        """Cut it off in both directions; return what was done.

        Raises:
            DependencyError: `driver.shared_network` where its network is not its own,
                `driver.leaks` where it still has one afterwards.
        """
        container = await self._current(instance)
        if not container.has_own_network:
            raise DependencyError(
                "driver.shared_network",
                f"{container.name} has the network of {container.network_mode}",
                hint="stop it instead, or contain what it shares the network with",
            )
        await asyncio.to_thread(self._remembered.keep, container)
        await restart_as(self.engine, container, _NEVER)
        for _ in range(ROUNDS):
            await asyncio.to_thread(cut_here, container)
            for name in container.networks:
                await disconnect(self.engine, container, name)
            container = await self._current(instance)
            if await self._is_cut(container):
                return "it has no network any more, and what it had refuses every packet"
            await asyncio.to_thread(self._remembered.keep, container)
            await asyncio.sleep(POLL_S)
        raise DependencyError("driver.leaks", f"{container.name} still has a network")

    async def network_is_cut(self, instance: Instance) -> bool:
        """Return whether `cut_network` holds: by the engine's word and, here, by the kernel's."""
        return await self._is_cut(await self._current(instance))

    async def restore_network(self, instance: Instance) -> None:
        """Connect it again to what it was connected to, with the address it had where it is free.

        Raises:
            DependencyError: `containers.refused` where the engine does not.
        """
        container = await self._current(instance)
        before = await asyncio.to_thread(self._remembered.of, container)
        for name, endpoint in before.networks.items():
            if name not in container.networks:
                await connect(self.engine, container, name, endpoint)
        await asyncio.to_thread(let_in_here, await self._current(instance))
        if before.restart:
            await restart_as(self.engine, container, before.restart)
        await asyncio.to_thread(self._remembered.forget, container)

    async def stop(self, instance: Instance) -> None:
        """End all its processes; its engine does not start it again."""
        await end(self.engine, await self._current(instance))

    async def replace(self, instance: Instance, *, timeout_s: float) -> Instance:
        """Return a clean instance in its place.

        Raises:
            DependencyError: `driver.never_healthy`; `driver.differs` where the engine makes one
                that is not like the old one, which is removed again; `driver.lost`.
        """
        name = self._name(instance)
        old, fresh = await self.engine.inspect(instance.name), await self.engine.inspect(name)
        if old is None and fresh is None:
            raise DependencyError("driver.lost", f"nothing is left of {instance.name[:12]}")
        if old is not None:
            before = await asyncio.to_thread(self._remembered.keep, old)
            if fresh is None or fresh.id == old.id:
                fresh = await make_like(self.engine, old, before, name)
            await check_alike(self.engine, old, fresh, before)
            await join(self.engine, fresh, before)
        assert fresh is not None  # noqa: S101  # found, or made
        await serve(self.engine, fresh, timeout_s=timeout_s)
        return Instance(service=instance.service, name=fresh.id)

    async def healthy(self, instance: Instance) -> bool:
        """Return whether it runs and serves, by its own check where it has one."""
        return (await self._current(instance)).serves

    @property
    def _remembered(self) -> Remembered:
        return Remembered(folder=self.folder)

    def _name(self, instance: Instance) -> str:
        name = self.names.get(instance.service)
        if name is None:
            raise DependencyError("driver.unknown", f"no container runs {instance.service}")
        return name

    async def _current(self, instance: Instance) -> Container:
        """Return the container of `instance`; StateError `driver.gone` where another is there."""
        container = await self.engine.inspect(self._name(instance))
        if container is None or container.id != instance.name:
            raise StateError("driver.gone", f"{instance.name[:12]} was replaced")
        return container

    async def _is_cut(self, container: Container) -> bool:
        return not container.networks and not await asyncio.to_thread(may_pass_here, container)
