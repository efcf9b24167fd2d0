"""The driver of processes that `meshwarden up` runs: its supervisor is asked, over its socket.

Freezing and looking are done here, by signals to all processes of the instance: that works while
the supervisor is busy, and a stopped process forks no more.
"""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from meshwarden.adapters.forensics import ProcessSet
from meshwarden.adapters.forensics.processes import started_at
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import Mesh
from meshwarden.control.started import load_instances, load_started, selection_of
from meshwarden.control.supervision.orders import Order
from meshwarden.kernel import DependencyError, StateError
from meshwarden.response import Instance, SnapshotSources

ANSWER_S: Final = 30.0
"""How long an order other than `replace` may take: what hangs is worse than what fails."""

_WRITABLE: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # the instance's own


@dataclass(kw_only=True)
class ProcessDriver:
    """The processes of the mesh `mesh`, which runs at `layout`."""

    mesh: Mesh
    layout: Layout
    _sets: dict[str, ProcessSet] = field(default_factory=dict)

    def known(self, service: str) -> Instance | None:
        """Return the instance of `service` that is there now, as the supervisor wrote down."""
        name = load_instances(self.layout.processes).get(service)
        return None if name is None else Instance(service=service, name=name)

    async def running(self, service: str) -> Instance | None:
        """Return the instance of `service` that is there now; None where no supervisor has one."""
        return await asyncio.to_thread(self.known, service)

    async def freeze(self, instance: Instance) -> int:
        """Stop all its processes where they are; return how many."""
        processes = self._processes(instance)
        return 0 if processes is None else await asyncio.to_thread(processes.stop)

    async def thaw(self, instance: Instance) -> None:
        """Let them run on."""
        if (processes := self._processes(instance)) is not None:
            await asyncio.to_thread(processes.resume)

    async def snapshot_sources(self, instance: Instance) -> SnapshotSources:
        """Return where evidence is read: /proc, what it can write, what it and its sidecar said."""
        return await asyncio.to_thread(self._sources, instance)

    async def cut_network(self, instance: Instance) -> str:
        """Cut it off in both directions; return what was done."""
        return str(await self._ask(Order.CUT, instance))

    async def network_is_cut(self, instance: Instance) -> bool:
        """Return whether `cut_network` holds."""
        return bool(await self._ask(Order.IS_CUT, instance))

    async def restore_network(self, instance: Instance) -> None:
        """Undo `cut_network`."""
        await self._ask(Order.RESTORE, instance)

    async def stop(self, instance: Instance) -> None:
        """End all its processes; it is not started again until `replace`."""
        await self._ask(Order.STOP, instance)

    async def replace(self, instance: Instance, *, timeout_s: float) -> Instance:
        """Return a clean instance in its place."""
        name = await self._ask(Order.REPLACE, instance, timeout_s=timeout_s)
        return Instance(service=instance.service, name=str(name))

    async def healthy(self, instance: Instance) -> bool:
        """Return whether it runs and serves."""
        return bool(await self._ask(Order.HEALTHY, instance))

    def _processes(self, instance: Instance) -> ProcessSet | None:
        """Return its processes; the same set each time, which remembers who left the leader.

        None where it has ended, and shares its user, so that nothing tells what it left behind.
        """
        current = self.known(instance.service)
        if current != instance:
            raise StateError("driver.gone", f"{instance.name} was replaced by {current}")
        leader = self._leader(instance.service)
        selection = selection_of(self.mesh, self.layout, instance.service, leader=leader or 0)
        if leader is None and selection.uid is None:
            return None
        key = f"{instance.name}/{leader}"
        if key not in self._sets:
            self._sets = {key: ProcessSet(selection)}
        return self._sets[key]

    def _leader(self, service: str) -> int | None:
        session = load_started(self.layout.processes).get(service)
        return None if session is None else session.leader

    def _sources(self, instance: Instance) -> SnapshotSources:
        processes = self._processes(instance)
        members = processes.members() if processes else []
        leader = members[0].pid if members else None
        selection = selection_of(self.mesh, self.layout, instance.service, leader=leader or 0)
        app = self.layout.app_dir(instance.service)
        return SnapshotSources(
            leader=leader,
            uid=selection.uid,
            directories=(str(app), *_WRITABLE) if self.layout.isolated else (str(app),),
            started=started_at(leader) if leader else 0,
            facts={"command": "\0".join(self.mesh.services[instance.service].command).encode()},
            files={
                "output.log": self.layout.output_log(instance.service),
                "sidecar-access.log": self.layout.access_log(instance.service),
            },
        )

    async def _ask(
        self, order: Order, instance: Instance, *, timeout_s: float | None = None
    ) -> object:
        """Return what the supervisor answers.

        Raises:
            StateError: `driver.gone`.
            DependencyError: where it does not do it, or does not answer in time.
        """
        wanted: dict[str, Any] = {
            "order": order.value, "service": instance.service, "instance": instance.name,
        }  # fmt: skip
        if timeout_s is not None:
            wanted["timeout_s"] = timeout_s
        answer = await _exchange(self.layout.orders_socket, wanted, (timeout_s or 0) + ANSWER_S)
        if "error" not in answer:
            return answer.get("done")
        kind = StateError if answer["error"] == "driver.gone" else DependencyError
        raise kind(str(answer["error"]), str(answer.get("message", "")))


async def _exchange(socket: Path, wanted: dict[str, Any], within_s: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(json.dumps(wanted).encode() + b"\n")
                found: dict[str, Any] = json.loads(await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        raise DependencyError(
            "driver.supervisor",
            f"the supervisor does not answer: {type(error).__name__}",
            hint="only `meshwarden up` can take instances out of service",
        ) from error
    return found
