"""A live revocation: someone with a stolen SVID of payments, connected to accounts, is cut off.

He holds a valid certificate and key, and a connection under mutual TLS that he opened with them.
His requests are those that payments may send without a customer's token; before the revocation
accounts itself answers them. Measured is the time from the call to the control plane
until he was refused both on the open connection and in a new handshake, as he sees it.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from meshwarden.adapters.process.health import Elsewhere, connect
from meshwarden.lab.attempts import Credentials, client_context

WITHIN_S: Final = 10.0
_REQUEST: Final = b"GET /v1/accounts/acc-1 HTTP/1.1\r\nhost: accounts\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Theft:
    """What became of the thief.

    Attributes:
        before: the status of his request before the revocation, the service's own.
        open_ms: milliseconds until he was refused on the open connection; None: he never was.
        new_ms: milliseconds until he was refused on new connections; None: he never was.
    """

    before: int | None
    open_ms: float | None
    new_ms: float | None

    @property
    def cut_off(self) -> bool:
        """Whether he was let in before and is refused everywhere after."""
        refused = self.open_ms is not None and self.new_ms is not None
        return refused and self.before not in {None, 403}

    @property
    def revocation_ms(self) -> float | None:
        """Milliseconds until he was refused everywhere."""
        if self.open_ms is None or self.new_ms is None:
            return None
        return max(self.open_ms, self.new_ms)


async def catch(
    where: Elsewhere, stolen: Credentials, revoke: Callable[[], Awaitable[object]]
) -> Theft:
    """Let the thief in, `revoke` his certificate, and tell how long he went on.

    Args:
        where: where the sidecar of accounts takes mutual TLS.
        stolen: what the thief holds.
        revoke: calls the control plane.
    """
    loop = asyncio.get_running_loop()
    context = client_context(stolen)
    reader, writer = await _connect(where, context)
    try:
        before = await _status(reader, writer)
        start = loop.time()
        calling = asyncio.ensure_future(revoke())
        open_at, new_at = await asyncio.gather(
            _first_refusal(lambda: _status(reader, writer)),
            _first_refusal(lambda: _status_anew(where, context)),
        )
        await calling
    finally:
        writer.transport.abort()
    return Theft(
        before=before,
        open_ms=None if open_at is None else (open_at - start) * 1000,
        new_ms=None if new_at is None else (new_at - start) * 1000,
    )


async def _first_refusal(ask: Callable[[], Awaitable[int | None]]) -> float | None:
    """Return when `ask` was first refused; None where it was not in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + WITHIN_S
    while loop.time() < end:
        if await ask() in {None, 403}:
            return loop.time()
    return None


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
    """Return the status of a request on an open connection; None where it was closed."""
    try:
        async with asyncio.timeout(WITHIN_S):
            writer.write(_REQUEST)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
            await reader.readexactly(length)
    except (OSError, asyncio.IncompleteReadError):
        return None
    return int(head.split(" ", 2)[1])


async def _status_anew(where: Elsewhere, context: ssl.SSLContext) -> int | None:
    try:
        async with asyncio.timeout(WITHIN_S):
            reader, writer = await _connect(where, context)
    except OSError:
        return None
    try:
        return await _status(reader, writer)
    finally:
        writer.transport.abort()


async def _connect(
    where: Elsewhere, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connect(where)
    try:
        await writer.start_tls(context)
    except OSError:
        writer.transport.abort()
        raise
    return reader, writer
