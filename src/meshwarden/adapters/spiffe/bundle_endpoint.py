"""Our own bundle endpoint: HTTPS GET of the bundle, for whoever asks (SPIFFE Federation, 5.2).

The certificate is replaced while it listens: new connections are given the new one. No client is
asked for a certificate, as the standard has it: what is served is public.
"""

import asyncio
import contextlib
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshwarden.identity import Bundle, render_bundle
from meshwarden.kernel import ConfigError


class _Server(uvicorn.Server):
    """A server that leaves signals to the program it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@dataclass(kw_only=True)
class BundleEndpoint:
    """Serves what `bundle` returns.

    Attributes:
        bundle: our own bundle now.
    """

    bundle: Callable[[], Bundle]
    _context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    def present(self, certificate_chain: str, private_key: str) -> None:
        """Present this certificate and key (PEM) on new connections; the key touches no disk."""
        memory = os.memfd_create("bundle-endpoint", os.MFD_CLOEXEC)
        try:
            os.write(memory, (private_key + certificate_chain).encode())
            self._context.load_cert_chain(f"/proc/self/fd/{memory}")
        finally:
            os.close(memory)

    def present_files(self, certificates: Path, key: Path) -> None:
        """Present the certificate and key in two files.

        Raises:
            ConfigError: `federation.certificate` where they cannot be used.
        """
        try:
            self._context.load_cert_chain(certificates, key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                "federation.certificate",
                f"{certificates} and {key} cannot be used for the bundle endpoint: {error}",
            ) from error

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[None]:
        """Serve while the context lasts.

        Raises:
            ConfigError: `federation.address` where it cannot listen there.
        """
        listening = _listen(host, port)
        config = uvicorn.Config(
            Starlette(routes=[Route("/{path:path}", self._answer)]),
            host=host, port=port, log_config=None, access_log=False, lifespan="off",
            limit_concurrency=256, timeout_keep_alive=5, h11_max_incomplete_event_size=16_384,
        )  # fmt: skip
        config.load()
        config.ssl = self._context
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not task.done():  # noqa: ASYNC110  # it tells in no other way
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            server.should_exit = True
            await asyncio.wait({task})
            listening.close()

    async def _answer(self, _: Request) -> Response:
        document = json.dumps(render_bundle(self.bundle()), separators=(",", ":"))
        return Response(document, media_type="application/json")


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            "federation.address",
            f"the bundle endpoint cannot listen on {host}:{port}: {error.strerror}",
            hint="stop what listens there, or choose another port",
        ) from error
    return listening
