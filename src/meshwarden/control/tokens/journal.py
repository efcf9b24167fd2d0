"""Records of issued tokens, written before a token leaves, many in one commit.

All that is appended within one turn of the event loop is written together at its end. The write is
to the operating system, in microseconds, and is made in place: handing it to a thread costs several
times as much, and leaves it waiting for the interpreter under load. What waits for the disk (the
checkpoint) is in a thread.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from meshwarden.kernel import DependencyError, MeshwardenError
from meshwarden.tokens import Link

MAX_WAITING: Final = 2000


class Journal:
    """Appends links through `write`."""

    def __init__(self, write: Callable[[Sequence[Link]], None]) -> None:
        self._write = write
        self._waiting: list[tuple[Link, asyncio.Future[None]]] = []

    async def append(self, link: Link) -> None:
        """Return once `link` is written; DependencyError where it cannot be."""
        if len(self._waiting) >= MAX_WAITING:
            raise DependencyError(
                "tokens.busy", "too many records wait for the disk", retry_after_s=1
            )
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((link, done))
        await done

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        error: MeshwardenError | None = None
        try:
            self._write([link for link, _ in batch])
        except MeshwardenError as failed:
            error = failed
        for _, done in batch:
            if done.done():
                continue  # whoever asked has gone
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
