"""The recorder's loop: follows the logs of all sidecars and keeps the record up to date.

It polls the logs' sizes every tenth of a second (some stat calls), more often while calls come:
then cycles begin 20 ms apart, or one right after the other where each takes longer. It works in a
thread, so that what else runs on the event loop is not held up.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa

from meshwarden.adapters.envoy.accesslog_call import Naming
from meshwarden.control.recording.engine import Engine
from meshwarden.control.recording.figures import Figures
from meshwarden.control.recording.limits import Limits, LogSource
from meshwarden.kernel import Clock, Finding

_IDLE_POLL_S: Final = 0.1
_BUSY_POLL_S: Final = 0.02  # from the beginning of one cycle to that of the next


class Recorder:
    """Records calls while `run` runs.

    Args:
        folder: where the parts go (`calls/` of the state directory).
        clock: time of day.
        naming: host names and routes of the mesh.
        limits: bounds.
        report: takes findings about the recording itself; called from a thread.
        observe: is shown calls (CALL_SCHEMA) as soon as they are certain; called from a thread.

    Raises:
        StateError: another process records there.
    """

    def __init__(
        self,
        *,
        folder: Path,
        clock: Clock,
        naming: Naming | None = None,
        limits: Limits | None = None,
        report: Callable[[Finding], None] = lambda _: None,
        observe: Callable[[pa.Table], None] = lambda _: None,
    ) -> None:
        self._engine = Engine(
            folder=folder,
            clock=clock,
            naming=naming or Naming(),
            limits=limits or Limits(),
            report=report,
            observe=observe,
        )
        self._busy = asyncio.Lock()
        self._new: list[LogSource] = []
        self._closed = asyncio.Event()
        self._figures = self._engine.figures()

    def follow(self, source: LogSource) -> None:
        """Record this sidecar's log too; its file need not exist yet."""
        self._new.append(source)

    def rename(self, naming: Naming) -> None:
        """Use `naming` for what is read from now on (the policy changed)."""
        self._engine.naming = naming

    def figures(self) -> Figures:
        """Return the figures of the last cycle."""
        return self._figures

    async def run(self) -> None:
        """Record until `close`, or until cancelled."""
        loop = asyncio.get_running_loop()
        while not self._closed.is_set():
            before, began = self._figures.totals, loop.time()
            if await self._cycle():
                continue
            idle = self._figures.totals == before
            pause_s = _IDLE_POLL_S if idle else max(0.0, began + _BUSY_POLL_S - loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause_s)

    async def flush(self, *, settle: bool = False) -> Figures:
        """Read all that the logs hold, write it durably, and return the figures.

        Args:
            settle: the sidecars are gone: callers' reports are recorded without waiting for the
                callee's.
        """
        while await self._cycle(write=True, settle=settle):
            pass
        return self._figures

    async def close(self, *, settle: bool = False) -> None:
        """Flush, `settle` as there, stop `run`, and let another process record."""
        if self._closed.is_set():
            return
        await self.flush(settle=settle)
        self._closed.set()
        async with self._busy:
            self._engine.close()

    async def _cycle(self, *, write: bool = False, settle: bool = False) -> bool:
        async with self._busy:
            if self._closed.is_set():
                return False
            while self._new:
                self._engine.follow(self._new.pop(0))
            work = asyncio.create_task(asyncio.to_thread(self._work, write, settle))
            try:
                more, self._figures = await asyncio.shield(work)
            except asyncio.CancelledError:
                # The thread goes on whatever happens here; the engine takes one at a time.
                await asyncio.wait({work})
                raise
            return more

    def _work(self, write: bool, settle: bool) -> tuple[bool, Figures]:
        return self._engine.cycle(write=write, settle=settle), self._engine.figures()
