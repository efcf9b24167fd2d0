"""An application on a Unix socket, as part of a program that has loops of its own."""

import asyncio
import contextlib
import socket as socketlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_S: Final = 3700
"""Longer than a sidecar or a caller keeps an idle connection: it closes first, and no request meets
a connection that is just being closed."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the program it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _listener(path: Path, mode: int) -> socketlib.socket:
    """Return a listening socket of this mode; uvicorn's own is open to all."""
    listener = socketlib.socket(socketlib.AF_UNIX, socketlib.SOCK_STREAM)
    listener.bind(str(path))  # nobody gets in before it listens
    path.chmod(mode)
    listener.listen(1024)
    return listener


@contextlib.asynccontextmanager
async def served(app: ASGIApp, socket: Path, *, mode: int) -> AsyncIterator[None]:
    """Serve `app` on `socket` while the context lasts."""
    await asyncio.to_thread(socket.unlink, missing_ok=True)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        http="httptools",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[_listener(socket, mode)]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
