"""A gRPC server on a Unix socket that one user alone may connect to."""

import asyncio
import os
from pathlib import Path

import grpc

from meshwarden.kernel import DependencyError


async def serve_on(socket: Path, server: grpc.aio.Server, *, uid: int | None, code: str) -> None:
    """Start `server` on `socket`, for the user `uid` alone, or for this process's own.

    Raises:
        DependencyError: `code`, where it cannot be.
    """
    try:
        await asyncio.to_thread(socket.unlink, missing_ok=True)
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        await asyncio.to_thread(socket.chmod, 0o600)
        if uid is not None:
            await asyncio.to_thread(os.chown, socket, uid, uid, follow_symlinks=False)
    except (RuntimeError, OSError) as error:
        raise DependencyError(code, f"cannot serve a sidecar on {socket}: {error}") from error
