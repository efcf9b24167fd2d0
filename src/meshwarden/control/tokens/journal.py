"""Records of issued tokens, durable before a token leaves, many in one commit.

Whoever appends waits until its record is on the disk. While one commit is under way the next batch
gathers, so that the disk's time is shared by all that wait for it; beyond `MAX_WAITING` nothing is
taken: a disk that is too slow or gone stops issuance instead of memory.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from meshwarden.kernel import DependencyError, MeshwardenError
from meshwarden.tokens import Link

MAX_WAITING: Final = 2000


class Journal:
    """Appends links through `write`, which blocks until they are durable."""

    def __init__(self, write: Callable[[Sequence[Link]], None]) -> None:
        self._write = write
        self._waiting: list[tuple[Link, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    async def append(self, link: Link) -> None:
        """Return once `link` is durable; DependencyError where it cannot be."""
        if len(self._waiting) >= MAX_WAITING:
            raise DependencyError(
                "tokens.busy", "too many records wait for the disk", retry_after_s=1
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((link, done))
        self._arrived.set()
        await done

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write while the context lasts, and what waits at its end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            await self._flush()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        error: MeshwardenError | None = None
        try:
            await asyncio.to_thread(self._write, [link for link, _ in batch])
        except MeshwardenError as failed:
            error = failed
        for _, done in batch:
            if done.done():
                continue  # whoever asked has gone
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
