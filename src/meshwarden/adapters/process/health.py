"""Whether something serves: a connection is accepted, or an HTTP GET is answered with 2xx."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROBE_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """An address of another network: `open_socket` makes a TCP socket there."""

    address: tuple[str, int]
    open_socket: Callable[[], socket.socket]


Target = Path | tuple[str, int] | Elsewhere
"""A Unix socket's path, IP address and port, or these in another network."""


async def accepts(target: Target) -> bool:
    """Return whether `target` accepts a connection within `PROBE_TIMEOUT_S`."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S), _connected(target):
            return True
    except OSError:  # TimeoutError too
        return False


async def answers(target: Target, path: str, *, host: str = "localhost") -> bool:
    """Return whether `GET path` is answered with 2xx within `PROBE_TIMEOUT_S`."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S), _connected(target) as (reader, writer):
            writer.write(request.encode())
            await writer.drain()
            version, _, rest = (await reader.readuntil(b"\n")).partition(b" ")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False
    return version.startswith(b"HTTP/1.") and rest[:1] == b"2" and rest[:3].isdigit()


@contextlib.asynccontextmanager
async def _connected(
    target: Target,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    if isinstance(target, Path):
        reader, writer = await asyncio.open_unix_connection(str(target))
    elif isinstance(target, Elsewhere):
        reader, writer = await connect(target)
    else:
        reader, writer = await asyncio.open_connection(*target)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def connect(target: Elsewhere) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection to `target`; OSError where it is refused."""
    end = target.open_socket()
    try:
        end.setblocking(False)
        await asyncio.get_running_loop().sock_connect(end, target.address)
        return await asyncio.open_connection(sock=end)
    except BaseException:
        end.close()
        raise
