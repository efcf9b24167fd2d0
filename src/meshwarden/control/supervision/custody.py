"""Instances taken out of service, and clean ones brought in: what a response asks of a supervisor.

An instance in custody is not started again when it ends, and its sidecar is down: with the sidecar
goes every way out of its network that a Unix socket leads, and nothing new passes it. What the
network itself still carries is refused packet by packet. A mesh without networks of its own has
nothing to refuse: there the instance's processes are stopped where they are.

A process is another instance under another supervisor. A container is what its engine has, whoever
supervises it: the same one until there is another under its name.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from meshwarden.adapters.containers import Engine
from meshwarden.adapters.forensics import ProcessSet
from meshwarden.adapters.network.quarantine import cut_off, is_cut_off, let_in, let_out
from meshwarden.adapters.spiffe.attestation import start_ticks_of
from meshwarden.control.layout import Layout, sidecar_name
from meshwarden.control.mesh import Mesh
from meshwarden.control.started import selection_of
from meshwarden.control.supervision.isolation import Isolation
from meshwarden.control.supervision.keeper import Keeper
from meshwarden.kernel import InputError, MeshwardenError, StateError

_log = structlog.get_logger()

SIDECAR_S: Final = 20.0
CONTAINER_DIGITS: Final = 32
ALONE_S: Final = 5.0
"""How long a service on loopback is started before its sidecar: one that needs it to become healthy
gets it then, and callers of one that does not are refused by nobody meanwhile."""


@dataclass(kw_only=True)
class Custody:
    """The instances of one running mesh.

    Attributes:
        mesh: what runs.
        layout: where.
        keepers: what keeps each process, by name.
        isolation: the services' networks; None where they have none.
        epoch: tells this supervisor's instances from those of others on the same directory.
    """

    mesh: Mesh
    layout: Layout
    keepers: Mapping[str, Keeper]
    isolation: Isolation | None
    epoch: int
    _generation: dict[str, int] = field(default_factory=dict)
    _containers: dict[str, str] = field(default_factory=dict)
    _held: set[str] = field(default_factory=set)
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    def instances(self) -> dict[str, str]:
        """Return the name of each service's instance."""
        return {
            name: f"{name}-{self._which(name)}"
            for name, service in self.mesh.services.items()
            if not service.builtin
        }

    async def look(self) -> None:
        """Ask the engines which containers there are; what they do not tell is named as others."""
        for name in self.mesh.services:
            try:
                await self._look(name)
            except MeshwardenError as error:
                _log.warning("container_unknown", service=name, error=str(error))

    async def cut(self, service: str, instance: str) -> str:
        """Cut the instance off in both directions; return what was done, in words."""
        async with self._turn(service, instance):
            self._held.add(service)
            self.keepers[service].hold()
            down = self.keepers[sidecar_name(service)].end()
            if self.isolation is None:
                await asyncio.gather(down, self._stopped(service))
                return "its sidecar is down and its processes are stopped"
            namespace = self.isolation.namespace(service)
            await asyncio.gather(down, asyncio.to_thread(cut_off, namespace))
            return "its sidecar is down and its network refuses every packet"

    async def is_cut(self, service: str, instance: str) -> bool:
        """Return whether `cut` holds."""
        async with self._turn(service, instance):
            if self.keepers[sidecar_name(service)].child is not None:
                return False
            if self.isolation is None:
                processes = self._processes(service)
                members = await asyncio.to_thread(processes.members) if processes else []
                return all(one.state in "TtZX" for one in members)
            return await asyncio.to_thread(is_cut_off, self.isolation.namespace(service))

    async def restore(self, service: str, instance: str) -> None:
        """Undo `cut`; what ended meanwhile is started again."""
        async with self._turn(service, instance):
            await self._let_in(service)
            processes = self._processes(service) if self.isolation is None else None
            if processes is not None:
                await asyncio.to_thread(processes.resume)
            await self._resume(service, timeout_s=SIDECAR_S)

    async def stop(self, service: str, instance: str) -> None:
        """End all processes of the instance."""
        async with self._turn(service, instance):
            await self._end(service)

    async def replace(self, service: str, instance: str, *, timeout_s: float) -> str:
        """Return the name of a clean instance in the place of `instance`, once it is healthy."""
        if self.instances().get(service) not in {instance, None}:
            return self.instances()[service]
        async with self._turn(service, instance):
            await self._end(service)
            await self.keepers[sidecar_name(service)].end()
            if self.isolation is not None:  # callers wait until it serves
                await asyncio.to_thread(let_out, self.isolation.namespace(service))
            self._generation[service] = self._generation.get(service, 1) + 1
            await self._look(service)
            await self._resume(service, timeout_s=timeout_s)
            await self._let_in(service)
            return self.instances()[service]

    async def healthy(self, service: str, instance: str) -> bool:
        """Return whether the instance and its sidecar serve."""
        async with self._turn(service, instance):
            both = (self.keepers[service], self.keepers[sidecar_name(service)])
            return all([await one.is_healthy() for one in both])

    def _which(self, service: str) -> str:
        container = self._containers.get(service)
        return container or f"{self.epoch}-{self._generation.get(service, 1)}"

    async def _look(self, service: str) -> None:
        """Take note of which container `service` runs in; MeshwardenError where nobody tells."""
        settings = self.mesh.services[service].container
        if settings is None:
            return
        found = await Engine(socket=settings.engine).inspect(settings.name)
        if found is not None:
            self._containers[service] = found.id[:CONTAINER_DIGITS]

    async def _end(self, service: str) -> None:
        self._held.add(service)
        keeper = self.keepers[service]
        keeper.hold()
        if (processes := self._processes(service)) is not None:
            await asyncio.to_thread(processes.end)
        await keeper.end()

    async def _stopped(self, service: str) -> None:
        if (processes := self._processes(service)) is not None:
            await asyncio.to_thread(processes.stop)

    async def _let_in(self, service: str) -> None:
        if self.isolation is not None:
            await asyncio.to_thread(let_in, self.isolation.namespace(service))

    async def _resume(self, service: str, *, timeout_s: float) -> None:
        self._held.discard(service)
        sidecar, own = self.keepers[sidecar_name(service)], self.keepers[service]
        if self.isolation is not None:  # its network keeps callers out until it serves
            await sidecar.resume(timeout_s=timeout_s)
            await own.resume(timeout_s=timeout_s)
            return
        serving = asyncio.create_task(own.resume(timeout_s=timeout_s))
        try:
            await asyncio.wait({serving}, timeout=ALONE_S)
            await sidecar.resume(timeout_s=timeout_s)
            await serving
        finally:
            serving.cancel()

    def _processes(self, service: str) -> ProcessSet | None:
        """Return its processes; None where it has ended and nothing tells what it left behind."""
        child = self.keepers[service].child
        leader = child.pid if child is not None else 0  # a user's processes need no leader
        selection = selection_of(self.mesh, self.layout, service, leader=leader)
        return None if child is None and selection.uid is None else ProcessSet(selection)

    def _turn(self, service: str, instance: str) -> asyncio.Lock:
        """Return what lets one order at a time act on `service`, whose instance must be that."""
        known = self.instances().get(service)
        if known is None or service not in self.keepers:  # no such service, or not yet
            raise InputError(
                "driver.unknown", f"no process here is {service[:80]!r}", where="orders"
            )
        if known != instance:
            raise StateError("driver.gone", f"{instance[:120]} was replaced by {known}")
        return self._turns.setdefault(service, asyncio.Lock())


def new_epoch(pid: int) -> int:
    """Return when the process `pid` was started, in clock ticks since boot."""
    return start_ticks_of(pid) or 0
