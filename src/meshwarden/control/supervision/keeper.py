"""Keeps one program running: starts it, asks until it is healthy, starts it again when it ends.

A program may be taken out of service: from `hold` on it is not started again, `end` kills it, and
`resume` starts it anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from meshwarden.adapters.process import Child, Exit, Guard, Program
from meshwarden.adapters.process.child import LineSink
from meshwarden.control.supervision.model import Event, EventKind, EventSink
from meshwarden.control.supervision.restarts import RestartPolicy, Restarts, next_restart
from meshwarden.kernel import ConfigError, DependencyError, MeshwardenError

FIRST_POLL_S: Final = 0.02
LAST_POLL_S: Final = 0.5
ERROR_TAIL_LINES: Final = 3
ERROR_LINE_LENGTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all keepers of one mesh share."""

    guard: Guard
    restarts: RestartPolicy
    grace_s: float
    on_line: LineSink
    on_event: EventSink


class Keeper:
    """One program, kept running from `start` to `stop`.

    Args:
        name: the program's name in events.
        program: returns what to start; called before each start.
        healthy: whether it serves; asked until it says yes, after each start.
        around: what all keepers share.
        hopeless: where it ends before it was healthy: why starting it again is no use, from how it
            ended and its last lines; None where it may be of use.
    """

    def __init__(
        self,
        name: str,
        program: Callable[[], Program],
        healthy: Callable[[], Awaitable[bool]],
        around: Surroundings,
        hopeless: Callable[[Exit, Sequence[str]], MeshwardenError | None] = lambda *_: None,
    ) -> None:
        self.name = name
        self.child: Child | None = None
        self._program = program
        self._healthy = healthy
        self._around = around
        self._hopeless = hopeless
        self._first_healthy = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_exit: Exit | None = None
        self._tail: list[str] = []
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._down = asyncio.Event()
        self._down.set()
        self._healthy_again = asyncio.Event()

    async def start(self, *, timeout_s: float) -> None:
        """Return once it is healthy for the first time; from then on it is kept running.

        Raises:
            ConfigError: where its command, directory or user cannot be used.
            MeshwardenError: what `hopeless` says.
            DependencyError: `supervision.never_healthy` after `timeout_s`.
        """
        self._task = asyncio.create_task(self._keep(), name=self.name)
        waiter = asyncio.create_task(self._first_healthy.wait())
        try:
            await asyncio.wait(
                {self._task, waiter}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiter.cancel()
        if self._task.done():
            self._task.result()
        if not self._first_healthy.is_set():
            error = self._never_healthy(timeout_s)
            self._tell(EventKind.GAVE_UP, detail=error.message)
            raise error

    def hold(self) -> None:
        """Do not start it again when it ends, until `resume`."""
        self._wanted.clear()

    async def end(self) -> None:
        """Kill it, and do not start it again until `resume`; return once nothing is left of it."""
        self.hold()
        if self.child is not None:
            self.child.kill()
        await self._down.wait()

    async def resume(self, *, timeout_s: float) -> None:
        """Start it where it does not run; return once it is healthy.

        Raises:
            DependencyError: `supervision.never_healthy` after `timeout_s`; it is kept on.
        """
        if self.child is None:
            self._healthy_again.clear()
        self._wanted.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._healthy_again.wait()
        except TimeoutError as error:
            raise self._never_healthy(timeout_s) from error

    async def is_healthy(self) -> bool:
        """Return whether it runs and serves now."""
        return self.child is not None and await self._healthy()

    async def stop(self) -> None:
        """Stop it and keep it no longer; nothing of it is left afterwards."""
        if self._task is None:
            return
        if self.child is not None and not self._wanted.is_set():
            self.child.kill()  # out of service, it may be frozen: it would hear nothing
        self._task.cancel()
        await asyncio.wait({self._task})

    async def failed(self) -> None:
        """Return never, unless keeping it fails for a reason that no restart mends: raise that."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _keep(self) -> None:
        restarts = Restarts()
        while True:
            await self._wanted.wait()
            ran_s = await self._run()
            if not self._first_healthy.is_set() and self._last_exit is not None:
                error = self._hopeless(self._last_exit, self._tail)
                if error is not None:
                    self._tell(EventKind.GAVE_UP, detail=error.message)
                    raise error
            if not self._wanted.is_set():
                restarts = Restarts()
                continue
            restarts, delay_s = next_restart(restarts, self._around.restarts, ran_s=ran_s)
            self._tell(EventKind.RESTARTING, after_s=delay_s)
            await asyncio.sleep(delay_s)

    async def _run(self) -> float:
        """Run it once; return for how many seconds it ran."""
        self._down.clear()
        try:
            return await self._run_child()
        finally:
            self._down.set()

    async def _run_child(self) -> float:
        try:
            child = await Child.start(
                self._program(), guard=self._around.guard, sink=self._around.on_line
            )
        except (ConfigError, DependencyError) as error:
            if not self._first_healthy.is_set():
                raise
            # It ran before: its file is being replaced, or the machine is short of processes.
            self._tell(EventKind.EXITED, detail=str(error))
            return 0.0
        self.child = child
        self._healthy_again.clear()
        if not self._wanted.is_set():  # `end` came while it was being started
            child.kill()
        self._tell(EventKind.STARTED)
        kind = EventKind.STOPPED
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(self._ask())
                await child.wait()
                asking.cancel()
            kind = EventKind.EXITED
        finally:
            self._last_exit = await child.stop(grace_s=self._around.grace_s)
            self._tail = list(child.tail)
            self._tell(kind, after_s=self._age_s(child), detail=str(self._last_exit))
            self.child = None
        return self._age_s(child)

    async def _ask(self) -> None:
        pause_s = FIRST_POLL_S
        while not await self._healthy():
            await asyncio.sleep(pause_s)
            pause_s = min(LAST_POLL_S, pause_s * 1.5)
        if self.child is not None:
            self._tell(EventKind.HEALTHY, after_s=self._age_s(self.child))
            self._first_healthy.set()
            self._healthy_again.set()

    @staticmethod
    def _age_s(child: Child) -> float:
        return asyncio.get_running_loop().time() - child.started_s

    def _tell(self, kind: EventKind, *, after_s: float = 0.0, detail: str = "") -> None:
        pid = None if self.child is None else self.child.pid
        self._around.on_event(
            Event(kind=kind, name=self.name, pid=pid, after_s=after_s, detail=detail)
        )

    def _never_healthy(self, timeout_s: float) -> DependencyError:
        tail = list(self.child.tail) if self.child is not None else []
        said = [line[:ERROR_LINE_LENGTH] for line in (tail or self._tail)[-ERROR_TAIL_LINES:]]
        ended = f"; it ended with {self._last_exit}" if self._last_exit is not None else ""
        return DependencyError(
            "supervision.never_healthy",
            f"{self.name} was not healthy after {timeout_s:g} s{ended};"
            + (f" it said: {' / '.join(said)}" if said else " it said nothing"),
            hint="correct it, its `health`, or its `start_timeout_s`",
        )
