"""The Workload API served: accepts, attests, bounds, until closed.

Whoever can reach the socket may ask; what a process gets is decided by who it is. Bounds hold for
each process, each user and all together, so that none keeps the others out. The socket's directory
must belong to us and be writable by nobody else: another could put its own socket in our place.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from meshwarden.adapters.spiffe.callers import Bounds, Callers, Instance
from meshwarden.adapters.spiffe.connection import Admission, Connection, Reception
from meshwarden.adapters.spiffe.listening import BACKLOG, open_socket
from meshwarden.adapters.spiffe.workload_api import Issuing

LOOK_S: Final = 1.0
_SHARE: Final = 32  # connections refreshed in one go; others' requests come in between


@dataclass(kw_only=True)
class WorkloadServer:
    """Serves `issuing` to attested callers.

    Attributes:
        issuing: decides and issues.
        admit: completes the facts of a new peer (digests, a wait for its registration).
        bounds: see there.
        ended: told of a process that has ended, once none of its connections is left.
        callers: who is connected.
    """

    issuing: Issuing
    admit: Admission = lambda peer: peer.facts
    bounds: Bounds = field(default_factory=Bounds)
    ended: Callable[[Instance], None] = lambda _: None
    callers: Callers[Connection] = field(init=False)
    _reception: Reception = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.callers = Callers(bounds=self.bounds)
        self._reception = Reception(
            callers=self.callers,
            issuing=self.issuing,
            admit=self.admit,
            ended=self.ended,
            spawn=self._spawn,
        )

    @contextlib.asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        """Serve on the Unix socket `path` while the context lasts.

        Raises:
            ConfigError: `workload.directory` where another account could replace the socket.
            StateError: `workload.socket_taken` where something else is at that place.
            DependencyError: `workload.socket` where the socket cannot be made.
        """
        listening = open_socket(path)
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: Connection(self._reception), sock=listening, backlog=BACKLOG
        )
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()
            server.close()
            for connection in list(self.callers.connections):
                connection.end()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(looking, *self._tasks, return_exceptions=True)
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108  # of a socket: nothing to wait for

    def refresh(self, instances: Iterable[Instance] | None = None) -> None:
        """Show every stream, or those of some processes, what there is now."""
        callers = self.callers
        chosen = list(callers.connections) if instances is None else callers.of(instances)
        self._refresh_share(chosen)

    def _refresh_share(self, chosen: list[Connection]) -> None:
        for connection in chosen[:_SHARE]:
            connection.refresh()
        if chosen[_SHARE:]:
            asyncio.get_running_loop().call_soon(self._refresh_share, chosen[_SHARE:])

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for connection in list(self.callers.connections):
                connection.look()
