"""Asks a container engine over its Unix socket; each answer bounded in size and time.

What the engine refuses is a value, since most refusals mean that something is so already. What it
does not answer, or answers endlessly, is an error.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import httpx

from meshwarden.adapters.containers.codec import Container, parse_container
from meshwarden.kernel import DependencyError

MAX_ANSWER_BYTES: Final = 4 * 1024**2
"""Of one answer. What is known of a container takes some ten kilobytes."""

_VERSION: Final = "v1.41"  # Docker 20.10, Podman 4
_LIBPOD: Final = "v4.0.0"  # of what only Podman has


Query = Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the engine answered: an HTTP status, and the body up to a bound."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """Why it did not, in its words, shortened."""
        try:
            said = json.loads(self.body)["message"]
        except (ValueError, KeyError, TypeError, RecursionError):
            said = ""
        return " ".join(str(said).split())[:300] or f"HTTP {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The engine at `socket`; `timeout_s`: how long one answer may take as a whole."""

    socket: Path
    timeout_s: float = 20.0

    async def inspect(self, name: str) -> Container | None:
        """Return the container called `name`, by name or id; None where there is none.

        Raises:
            DependencyError: where the engine does not answer.
            InputError: where it answers nonsense.
        """
        answer = await self.ask("GET", f"/containers/{name}/json")
        if answer.status == 404:
            return None
        return parse_container(must(answer, f"inspect {name}").body)

    async def ask(
        self, method: str, path: str, *, body: object = None, query: Query | None = None
    ) -> Answer:
        """Return the answer to one request.

        Raises:
            DependencyError: `containers.engine` where none comes in time, `containers.size`.
        """
        async with self._answering(method, path, body, query) as response:
            chunks = [chunk async for chunk in _bounded(response, MAX_ANSWER_BYTES)]
            return Answer(status=response.status_code, body=b"".join(chunks))

    async def save(
        self,
        path: str,
        file: BinaryIO,
        *,
        max_bytes: int,
        method: str = "GET",
        query: Query | None = None,
    ) -> int | None:
        """Write the answer to `file`; return its octets, None where the engine has none.

        Raises:
            DependencyError: `containers.size` above `max_bytes`; `containers.engine`.
        """
        size = 0
        async with self._answering(method, path, None, query) as response:
            if response.status_code != 200:
                return None
            async for chunk in _bounded(response, max_bytes):
                await asyncio.to_thread(file.write, chunk)
                size += len(chunk)
        return size

    @asynccontextmanager
    async def _answering(
        self, method: str, path: str, body: object, query: Query | None
    ) -> AsyncIterator[httpx.Response]:
        # No TLS on a Unix socket, and nothing from our environment.
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket), verify=False, trust_env=False)
        version = _LIBPOD if path.startswith("/libpod/") else _VERSION
        base = f"http://engine/{version}"
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                httpx.AsyncClient(transport=transport, base_url=base, timeout=None) as client,  # noqa: S113  # bounded as a whole
                client.stream(method, path, json=body, params=query) as response,
            ):
                yield response
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise DependencyError(
                "containers.engine",
                f"the container engine at {self.socket} does not answer: {type(error).__name__}",
                hint="it must run, and its socket must be ours to use",
                retry_after_s=2.0,
            ) from error


def must(answer: Answer, what: str) -> Answer:
    """Return `answer` where it is a success; DependencyError `containers.refused` else."""
    if not answer.ok:
        raise DependencyError("containers.refused", f"{what}: {answer.reason}")
    return answer


async def _bounded(response: httpx.Response, max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > max_bytes:
            raise DependencyError("containers.size", f"an answer is longer than {max_bytes} octets")
        yield chunk
