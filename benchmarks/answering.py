"""The applications behind the sidecars of a benchmark: each answers every request with 200.

python -m benchmarks.answering SOCKET...
"""

import asyncio
import sys

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Application(asyncio.Protocol):
    """One connection; requests have no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request in `data`."""
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(ANSWER)  # type: ignore[attr-defined]


async def _main(sockets: list[str]) -> None:
    loop = asyncio.get_running_loop()
    for socket in sockets:
        await loop.create_unix_server(Application, socket)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
