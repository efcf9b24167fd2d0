"""Brings a mesh up in dependency order, keeps it running, takes it down in reverse.

Start: the control plane; once its sockets accept, each sidecar; each service as soon as its sidecar
serves and the services it comes after are healthy. Independent ones start side by side. Either all
become healthy, or everything is stopped again and the first failure is raised. Later ends are
restarted one by one; services and sidecars outlive a killed control plane. The control plane, and
nobody else, may have single instances taken out of service and replaced (`custody`, `orders`).
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from meshwarden.adapters.containers import attend
from meshwarden.adapters.process import (
    Exit,
    Guard,
    OutputLog,
    Program,
    accepts,
    answers,
    resolve_program,
)
from meshwarden.adapters.process.child import LineSink
from meshwarden.adapters.process.health import Target
from meshwarden.control.container_settings import ContainerSettings
from meshwarden.control.layout import BORDER, CONTROL_PLANE, Layout, sidecar_name
from meshwarden.control.mesh import Mesh, MeshService
from meshwarden.control.supervision import ground
from meshwarden.control.supervision.custody import Custody, new_epoch
from meshwarden.control.supervision.isolation import Isolation
from meshwarden.control.supervision.keeper import Keeper, Surroundings
from meshwarden.control.supervision.model import Event, EventKind, EventSink, Wiring
from meshwarden.control.supervision.orders import taking_orders
from meshwarden.control.supervision.restarts import RestartPolicy
from meshwarden.kernel import ConfigError, DependencyError, MeshwardenError

CONTROL_PLANE_TIMEOUT_S: Final = 30.0
SIDECAR_TIMEOUT_S: Final = 30.0
STOP_GRACE_S: Final = 10.0
PROXY_OPEN_FILES: Final = 65536  # two descriptors for each connection that passes
_COMMAND: Final = "meshwarden: "  # how every error line of a command begins


class Supervisor:
    """The processes of one mesh on one state directory, within one event loop.

    Args:
        mesh: what to run.
        layout: where.
        wiring: how the mesh's own processes are started.
        environment: variables that every process inherits.
        on_line: takes each line of output; `<state>/logs/<name>.log` has it as well.
        on_event: takes each event.
        restarts: when to start again.
        grace_s: seconds between SIGTERM and SIGKILL for each process.
    """

    def __init__(
        self,
        mesh: Mesh,
        layout: Layout,
        wiring: Wiring,
        *,
        environment: Mapping[str, str],
        on_line: LineSink = lambda _name, _line: None,
        on_event: EventSink = lambda _event: None,
        restarts: RestartPolicy | None = None,
        grace_s: float = STOP_GRACE_S,
    ) -> None:
        self.mesh = mesh
        self.layout = layout
        self._wiring = wiring
        self._environment = dict(environment)
        self._on_line = on_line
        self._on_event = on_event
        self._restarts = restarts or RestartPolicy()
        self._grace_s = grace_s
        self.isolation = Isolation(mesh, layout) if layout.isolated else None
        self._keepers: dict[str, Keeper] = {}
        self._pids: dict[str, int] = {}
        self._logs: dict[str, OutputLog] = {}
        self.custody = Custody(
            mesh=mesh,
            layout=layout,
            keepers=self._keepers,
            isolation=self.isolation,
            epoch=new_epoch(os.getpid()),
        )
        self._orders = contextlib.AsyncExitStack()
        self._resources = contextlib.ExitStack()
        self._stopping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes that run now, by name."""
        return dict(self._pids)

    async def start(self) -> None:
        """Return once every service is healthy; on failure nothing is left running.

        Raises:
            ConfigError: before anything is started, where directory, addresses, commands or users
                cannot be used.
            DependencyError: `supervision.never_healthy`, naming the process and what it said.
            MeshwardenError: `supervision.control_plane`, what the control plane gave up with.
        """
        try:
            self._prepare()
            await self.custody.look()
            await self._orders.enter_async_context(
                taking_orders(
                    self.custody,
                    self.layout.orders_socket,
                    allowed=lambda: self._pids.get(CONTROL_PLANE),
                )
            )
            await self._start_control_plane()
            await self._start_services()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop services, dependents first, each before its sidecar; the control plane last."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._take_down())
        await asyncio.shield(self._stopping)

    def kill(self) -> None:
        """Kill every process at once; `stop` still has to be awaited."""
        for keeper in self._keepers.values():
            if keeper.child is not None:
                keeper.child.kill()

    async def failed(self) -> None:
        """Return never, unless a process cannot be kept for a reason that no restart mends."""
        waiting = [asyncio.create_task(keeper.failed()) for keeper in self._keepers.values()]
        try:
            await asyncio.gather(*waiting)
        finally:
            for task in waiting:
                task.cancel()

    def beside(self, name: str, known_as: str, command: Sequence[str]) -> Program:
        """Return another program in the place of the service `name`: its user, network and view."""
        service = replace(self.mesh.services[name], command=tuple(command))
        return replace(self._service_program(service), name=known_as)

    def _prepare(self) -> None:
        self._resources.enter_context(ground.occupied(self.layout))
        claims = [*ground.claims_of(self.mesh, self.layout), *self._wiring.claims]
        for service in self.mesh.services.values():
            if not service.builtin:
                resolve_program(self._service_program(service))
        resolve_program(self._control_plane_program())
        ground.check_free(claims)
        self._resources.callback(ground.clean, self.layout)
        ground.prepare(self.mesh, self.layout)
        if self.isolation is not None:
            self._resources.enter_context(self.isolation.built())
        guard = Guard()
        self._resources.callback(guard.close)
        for directory in self.isolation.control_groups if self.isolation else ():
            guard.sweep(str(directory))
        self._around = Surroundings(
            guard=guard,
            restarts=self._restarts,
            grace_s=self._grace_s,
            on_line=self._take_line,
            on_event=self._take_event,
        )

    async def _start_control_plane(self) -> None:
        sockets = [self.layout.xds_socket(name) for name in self.layout.proxies()]
        sockets += [
            self.layout.app_socket(one.name) for one in self.mesh.services.values() if one.builtin
        ]

        async def _listening() -> bool:
            return all([await accepts(socket) for socket in sockets])

        keeper = self._keeper(
            CONTROL_PLANE, self._control_plane_program, _listening, hopeless=_own_error
        )
        await keeper.start(timeout_s=CONTROL_PLANE_TIMEOUT_S)

    async def _start_services(self) -> None:
        healthy = {name: asyncio.Event() for name in self.mesh.services}

        async def _bring_up(service: MeshService) -> None:
            await self._sidecar(service).start(timeout_s=SIDECAR_TIMEOUT_S)
            for name in service.after:
                await healthy[name].wait()
            if not service.builtin:  # the control plane is its program, and listens already
                await self._service(service).start(timeout_s=service.start_timeout_s)
            healthy[service.name].set()

        try:
            async with asyncio.TaskGroup() as group:
                if self._wiring.border and self._wiring.border_ready:
                    border = self._keeper(BORDER, self._border_program, self._wiring.border_ready)
                    group.create_task(border.start(timeout_s=SIDECAR_TIMEOUT_S))
                for service in self.mesh.services.values():
                    group.create_task(_bring_up(service))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _take_down(self) -> None:
        down = {name: asyncio.Event() for name in self.mesh.services}
        dependents: dict[str, list[str]] = {name: [] for name in self.mesh.services}
        for service in self.mesh.services.values():
            for name in service.after:
                dependents[name].append(service.name)

        async def _bring_down(name: str) -> None:
            for dependent in dependents[name]:
                await down[dependent].wait()
            await self._stop_keeper(name)
            await self._stop_keeper(sidecar_name(name))
            down[name].set()

        try:
            await self._orders.aclose()
            await asyncio.gather(*(_bring_down(name) for name in self.mesh.services))
            await self._stop_keeper(BORDER)
            await self._stop_keeper(CONTROL_PLANE)
        finally:
            self._resources.close()
            for log in self._logs.values():
                log.close()

    async def _stop_keeper(self, name: str) -> None:
        if name in self._keepers:
            await self._keepers[name].stop()

    def _keeper(
        self,
        name: str,
        program: Callable[[], Program],
        healthy: Callable[[], Awaitable[bool]],
        **options: Callable[[Exit, Sequence[str]], MeshwardenError | None],
    ) -> Keeper:
        with ground.refusing(self.layout.state):
            self._logs[name] = OutputLog(self.layout.output_log(name))
        self._keepers[name] = Keeper(name, program, healthy, self._around, **options)
        return self._keepers[name]

    def _sidecar(self, service: MeshService) -> Keeper:
        async def _ready() -> bool:
            return await self._wiring.sidecar_ready(service)

        return self._keeper(
            sidecar_name(service.name), lambda: self._sidecar_program(service), _ready
        )

    def _service(self, service: MeshService) -> Keeper:
        def _program() -> Program:
            # A socket left by a killed run would make its successor's bind fail.
            self.layout.app_socket(service.name).unlink(missing_ok=True)
            return self._service_program(service)

        return self._keeper(service.name, _program, lambda: self._serves(service))

    async def _serves(self, service: MeshService) -> bool:
        if not service.listens:
            return True
        target: Target = self.layout.app_socket(service.name)
        if service.port is not None:
            target = ("127.0.0.1", service.port)
            if self.isolation is not None:
                target = self.isolation.target(service.name, target)
        if service.health is None:
            return await accepts(target)
        return await answers(target, service.health, host=service.name)

    def _service_program(self, service: MeshService) -> Program:
        if service.container is not None:  # it is its engine's to shut in
            attendant = self._own(service.name, _attendant(service.container))
            return (
                self.isolation.attendant(service.name, attendant) if self.isolation else attendant
            )
        given = self._wiring.environment(service)
        program = Program(
            name=service.name,
            command=service.command,
            environment=self._environment | dict(service.environment) | dict(given),
            directory=service.directory,
            user=service.user,
        )
        return self.isolation.service(service, program) if self.isolation else program

    def _sidecar_program(self, service: MeshService) -> Program:
        command = tuple(self._wiring.sidecar(service))
        program = self._own(sidecar_name(service.name), command)
        return self.isolation.sidecar(service.name, program) if self.isolation else program

    def _border_program(self) -> Program:
        assert self._wiring.border  # noqa: S101  # it has a keeper
        assert self.isolation  # noqa: S101  # only then there is a border
        return self.isolation.border(self._own(BORDER, tuple(self._wiring.border())))

    def _control_plane_program(self) -> Program:
        return self._own(CONTROL_PLANE, tuple(self._wiring.control_plane))

    def _own(self, name: str, command: tuple[str, ...]) -> Program:
        return Program(
            name=name,
            command=command,
            environment=self._environment,
            directory=self.mesh.directory,
            open_files=PROXY_OPEN_FILES,
        )

    def _take_line(self, name: str, line: str) -> None:
        self._logs[name].write(line)
        self._on_line(name, line)

    def _take_event(self, event: Event) -> None:
        if event.kind is EventKind.STARTED and event.pid is not None:
            self._pids[event.name] = event.pid
        elif event.kind in {EventKind.EXITED, EventKind.STOPPED}:
            self._pids.pop(event.name, None)
        if event.kind in {EventKind.STARTED, EventKind.EXITED}:
            ground.store_processes(self.layout, self._pids, self.custody.instances())
        self._on_event(event)


def _attendant(container: ContainerSettings) -> tuple[str, ...]:
    """Return the command that runs as long as a container does."""
    return (sys.executable, "-P", "-m", attend.__name__, str(container.engine), container.name)


def _own_error(end: Exit, said: Sequence[str]) -> MeshwardenError | None:
    """Return the error that the control plane ended with by itself, as one of this process.

    Its exit codes are those of every command: 2 bad input, 3 the system failed; then its last words
    are the error, in one line.
    """
    lines = [line for line in said if line.startswith(_COMMAND)]
    if end.status not in {2, 3} or not lines:
        return None
    kind = ConfigError if end.status == 2 else DependencyError
    return kind("supervision.control_plane", f"{CONTROL_PLANE}: {lines[-1].removeprefix(_COMMAND)}")
