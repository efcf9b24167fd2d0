"""The one way in which the control plane asks its supervisor for something: a Unix socket.

One JSON object a connection, in one line, and one in answer. Taken are only the orders of `Order`,
about services of the mesh, and only from the very process that the supervisor started as the
control plane, which the kernel tells (SO_PEERCRED). Nobody else gets an answer.
"""

import asyncio
import contextlib
import json
import socket as socketlib
import struct
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import structlog

from meshwarden.control.supervision.custody import Custody
from meshwarden.kernel import InputError, MeshwardenError

MAX_BYTES: Final = 4096
MAX_TIMEOUT_S: Final = 600.0
READ_S: Final = 5.0
_CREDENTIALS = struct.Struct("3i")
_log = structlog.get_logger()


class Order(StrEnum):
    """What can be asked."""

    CUT = "cut"
    IS_CUT = "is-cut"
    RESTORE = "restore"
    STOP = "stop"
    REPLACE = "replace"
    HEALTHY = "healthy"


@contextlib.asynccontextmanager
async def taking_orders(
    custody: Custody, socket: Path, *, allowed: Callable[[], int | None]
) -> AsyncIterator[None]:
    """Take orders on `socket` while the context lasts; `allowed`: the one process that may."""
    working: set[asyncio.Task[None]] = set()

    async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            working.add(task)
            task.add_done_callback(working.discard)
        try:
            peer = _peer_of(writer)
            if peer != allowed():
                _log.warning("order_refused", pid=peer)
                return
            writer.write(json.dumps(await _answer(custody, reader)).encode() + b"\n")
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_unix_server(_one, sock=_listener(socket), limit=MAX_BYTES)
    try:
        yield
    finally:
        server.close()
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def _answer(custody: Custody, reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        async with asyncio.timeout(READ_S):
            raw = await reader.readline()
        return {"done": await _carry_out(custody, raw)}
    except MeshwardenError as error:
        return {"error": error.code, "message": error.message}
    except (TimeoutError, ValueError):  # too slow, or a line that is too long
        return {"error": "orders.malformed", "message": "no order came"}


async def _carry_out(custody: Custody, raw: bytes) -> object:
    order, service, instance, timeout_s = parse_order(raw)
    match order:
        case Order.CUT:
            return await custody.cut(service, instance)
        case Order.IS_CUT:
            return await custody.is_cut(service, instance)
        case Order.RESTORE:
            await custody.restore(service, instance)
        case Order.STOP:
            await custody.stop(service, instance)
        case Order.REPLACE:
            return await custody.replace(service, instance, timeout_s=timeout_s)
        case Order.HEALTHY:
            return await custody.healthy(service, instance)
    return None


def parse_order(raw: bytes) -> tuple[Order, str, str, float]:
    """Return order, service, instance and time-out in seconds; InputError `orders.malformed`."""
    try:
        found = json.loads(raw)
        order = Order(found["order"])
        service, instance = found["service"], found["instance"]
        timeout_s = float(found.get("timeout_s", MAX_TIMEOUT_S))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError("orders.malformed", "it is no order", where="orders") from error
    texts = isinstance(service, str) and isinstance(instance, str)
    if not texts or not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise InputError("orders.malformed", "it is no order", where="orders")
    return order, service, instance, timeout_s


def _listener(path: Path) -> socketlib.socket:
    path.unlink(missing_ok=True)
    listener = socketlib.socket(socketlib.AF_UNIX, socketlib.SOCK_STREAM)
    listener.bind(str(path))  # nobody gets in before it listens
    path.chmod(0o600)
    listener.listen(16)
    return listener


def _peer_of(writer: asyncio.StreamWriter) -> int:
    end = writer.get_extra_info("socket")
    raw = end.getsockopt(socketlib.SOL_SOCKET, socketlib.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(raw)[0]
    return pid
