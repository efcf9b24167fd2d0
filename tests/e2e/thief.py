"""Someone who holds a stolen SVID: opens connections to a sidecar and keeps them open."""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from tests.e2e.small_mesh import DOMAIN

from meshwarden.adapters.storage.authority_rotation import load_or_create_trust
from meshwarden.control.layout import Layout
from meshwarden.identity import issue_svid
from meshwarden.identity.model import fingerprint_of
from meshwarden.kernel import SpiffeId

REFUSED = "refused"
PATIENCE_S = 30  # with a busy machine; what is refused is refused at once


@dataclass(kw_only=True)
class Line:
    """An open connection under mutual TLS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def get(self, path: str = "/v1/ping") -> int | str:
        """Return the status of a request on this connection."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                self.writer.write(f"GET {path} HTTP/1.1\r\nhost: back\r\n\r\n".encode())
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
                await self.reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return REFUSED
        return int(head.split(" ", 2)[1])

    async def say(self, octets: bytes) -> bytes:
        """Return what is answered to `octets`; nothing where the connection was closed."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                self.writer.write(octets)
                return await self.reader.read(len(octets))
        except OSError:
            return b""


@dataclass(kw_only=True)
class Holder:
    """Holds an SVID, and connects with it."""

    sha256: str
    pem: str
    context: ssl.SSLContext

    @contextlib.asynccontextmanager
    async def line(self, host: str, port: int) -> AsyncIterator[Line]:
        """Open a connection for as long as the context lasts."""
        reader, writer = await asyncio.open_connection(host, port, ssl=self.context)
        try:
            yield Line(reader=reader, writer=writer)
        finally:
            writer.transport.abort()

    async def get_anew(self, host: str, port: int) -> int | str:
        """Return the status of a request on a new connection."""
        try:
            async with asyncio.timeout(PATIENCE_S), self.line(host, port) as line:
                return await line.get()
        except OSError:
            return REFUSED


def stolen_svid(layout: Layout, service: str, directory: Path) -> Holder:
    """Return someone with an SVID of `service` that the mesh's own authority has signed."""
    now = datetime.now(UTC)
    trust = load_or_create_trust(layout.authority_dir, "test.example", now=now)
    identity = SpiffeId.parse(f"{DOMAIN}/{service}")
    svid = issue_svid(trust.current, identity, now=now, serial=secrets.randbits(126) | 1 << 126)
    pem = directory / f"{svid.sha256}.pem"
    pem.touch(mode=0o600)
    pem.write_text(svid.private_key.reveal() + svid.certificate_chain)
    return holder_of(pem)


def holder_of(path: Path) -> Holder:
    """Return someone with the key and certificates in the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(path)
    text = path.read_text()
    chain = text[text.index("-----BEGIN CERTIFICATE-----") :]
    leaf = x509.load_pem_x509_certificate(chain.encode())
    return Holder(sha256=fingerprint_of(leaf), pem=chain, context=context)
