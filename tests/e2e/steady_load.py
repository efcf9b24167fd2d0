"""A steady, bounded load whose every request can be told apart in the record.

Requests go out on a few keep-alive connections. Each carries a body of a length that no other
request of the same load has; the record has that length in `request_bytes`, so that losses and
duplicates are counted one by one and cannot cancel out.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from meshwarden.control.mesh import Address

WORKERS = 6
PAUSE_S = 0.015  # of each worker between two requests: some 300 requests a second in all


@dataclass(kw_only=True)
class Load:
    """What was sent and what came back, by request number (also the length of the body).

    Attributes:
        target: where requests are sent: a sidecar's outbound listener, or an edge.
        host: the service that is meant.
        answers: status by request; None where the connection ended without an answer.
        connections: how many were opened.
    """

    target: Address
    host: str = "back"
    path: str = "/v1/ping"
    answers: dict[int, int | None] = field(default_factory=dict)
    connections: int = 0
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _over: bool = False

    @property
    def statuses(self) -> Counter[int | None]:
        """How often each status came."""
        return Counter(self.answers.values())

    @property
    def answered(self) -> set[int]:
        """The requests that got an answer, whatever it was."""
        return {number for number, status in self.answers.items() if status is not None}

    async def reached(self, requests: int, *, status: int = 200) -> None:
        """Return once `requests` more requests than now were answered with `status`."""
        goal = self.statuses[status] + requests
        async with asyncio.timeout(90):
            while self.statuses[status] < goal:
                await asyncio.sleep(0.01)

    async def work(self) -> None:
        """Send one request after the other; open a new connection where one ended."""
        while not self._over:
            try:
                reader, writer = await asyncio.open_connection(self.target.host, self.target.port)
            except OSError:
                await asyncio.sleep(PAUSE_S)
                continue
            self.connections += 1
            try:
                while not self._over and await self._request(reader, writer):
                    await asyncio.sleep(PAUSE_S)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one request; return whether the connection goes on."""
        number = next(self._numbers)
        self.answers[number] = None
        head = f"GET {self.path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-length: {number}\r\n\r\n"
        writer.write(head.encode() + b"x" * number)
        try:
            await writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(answer.partition("content-length:")[2].partition("\r\n")[0] or 0)
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return False
        self.answers[number] = int(answer.split(" ", 2)[1])
        return "connection: close" not in answer

    def end(self) -> None:
        """Send nothing more; requests under way are brought to their end."""
        self._over = True


@contextlib.asynccontextmanager
async def steady_load(
    target: Address, *, host: str = "back", path: str = "/v1/ping", workers: int = WORKERS
) -> AsyncIterator[Load]:
    """Load `target` while the context lasts; every request has ended when it is left."""
    load = Load(target=target, host=host, path=path)
    working = [asyncio.create_task(load.work()) for _ in range(workers)]
    try:
        yield load
    finally:
        load.end()
        async with asyncio.timeout(90):
            await asyncio.gather(*working)


def recorded(rows: Iterable[dict[str, object]], *, since_ns: int) -> Counter[int]:
    """Return how often each request of a load that began at `since_ns` is in the record."""
    found: Counter[int] = Counter()
    for row in rows:
        time, length = row["time"], row["request_bytes"]
        assert isinstance(time, int)
        assert isinstance(length, int)
        if time >= since_ns:
            found[length] += 1
    return found
