"""What must fail: attacks on a running bank, each over real sockets, each expected to be refused.

An attacker here may hold what a compromised service holds: a valid SVID of `notifications` or
`payments`. He may also bring what anyone can make: certificates of his own authority, plaintext, no
certificate. Every attempt says what he saw; the record of calls, joined by the port that he called
from, says which rule or layer refused him.
"""

import asyncio
import posixpath
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from meshwarden.adapters.process.health import Elsewhere, connect
from meshwarden.kernel import EXTERNAL

LEDGER_READ = "/v1/accounts/acc-1/balance"
TIMEOUT_S = 5.0
TRANSPORT = "transport"
OUTSIDE = "exfiltration.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt and its outcome.

    Attributes:
        name: what was tried.
        refused: whether it got nothing.
        by: the rule or layer that refused it.
        mark: columns of the record of calls by which to find it; empty where no sidecar saw it.
        saw: what the attacker saw.
    """

    name: str
    refused: bool
    by: str
    mark: Mapping[str, object] = field(default_factory=dict)
    saw: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A TLS client's certificate chain and key in one PEM file, and the certificate's SHA-256."""

    pem: Path
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the attacks go and what the attacker holds.

    Attributes:
        ledger: where the ledger's sidecar takes mutual TLS, from where other sidecars stand.
        proxy: the outbound listener of the payments service's sidecar, from where payments stands.
        neighbour: a port of the ledger's own address, from where payments itself stands; None
            where services are not isolated from one another.
        ledger_pid: the ledger's process.
        notifications: a valid SVID that no rule lets call the ledger.
        payments: a valid SVID that may POST transfers to the ledger, under a token of its own.
        foreign: a certificate of another authority that names the ledger itself.
        expired: an SVID of `payments` from the bank's authority, expired.
    """

    ledger: Elsewhere
    proxy: Elsewhere
    neighbour: Callable[[int], Elsewhere] | None
    ledger_pid: int
    notifications: Credentials
    payments: Credentials
    foreign: Credentials
    expired: Credentials


async def try_everything(target: Target) -> list[Attempt]:
    """Make every attempt, one after the other; return them in order."""
    return [await attempt for attempt in _attempts(target)]


def _attempts(target: Target) -> list[Awaitable[Attempt]]:
    read = ("GET", LEDGER_READ)
    return [
        _request("wrong caller", target, target.notifications, *read),
        _request("wrong method", target, target.payments, "DELETE", "/v1/transfers"),
        _request("wrong path", target, target.payments, "POST", "/v1/admin"),
        _request(
            "path through dot segments", target, target.payments, "POST", "/v1/transfers/../escape"
        ),
        _request("no transaction token", target, target.payments, "POST", "/v1/transfers"),
        _request("no certificate", target, None, *read),
        _request("foreign authority that names the ledger", target, target.foreign, *read),
        _request("expired SVID", target, target.expired, "POST", "/v1/transfers"),
        _plaintext(target),
        _outside(target),
        _around(target),
    ]


async def _request(
    name: str, target: Target, credentials: Credentials | None, method: str, path: str
) -> Attempt:
    """Send a request over TLS; where the handshake is refused, the port marks it in the record."""
    tls = client_context(credentials)
    attempt = await _exchange(name, target.ledger, tls, method, path, "ledger")
    if credentials is None or attempt.by == TRANSPORT:
        return attempt
    route = posixpath.normpath(path)
    mark = {"source_certificate": credentials.sha256, "method": method, "route": route}
    return replace(attempt, mark=mark)


async def try_request(
    where: Elsewhere, credentials: Credentials, method: str, path: str, host: str
) -> Attempt:
    """Send one request with a certificate of one's own; return what came of it."""
    tls = await asyncio.to_thread(client_context, credentials)
    return await _exchange(f"{method} {path}", where, tls, method, path, host)


async def _plaintext(target: Target) -> Attempt:
    return await _exchange("plaintext", target.ledger, None, "GET", LEDGER_READ, "ledger")


async def _outside(target: Target) -> Attempt:
    name = "unlisted outside host"
    attempt = await _exchange(name, target.proxy, None, "GET", f"http://{OUTSIDE}/", OUTSIDE)
    return replace(attempt, mark={"destination": f"{EXTERNAL}{OUTSIDE}"})


async def _exchange(
    name: str,
    where: Elsewhere,
    tls: ssl.SSLContext | None,
    method: str,
    path: str,
    host: str,
) -> Attempt:
    """Send one request; refused means: no answer at all, or 403."""
    mark: dict[str, object] = {}
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await connect(where)
            mark = {"source_port": writer.get_extra_info("sockname")[1]}
            try:
                if tls:
                    await writer.start_tls(tls)
                request = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n"
                writer.write(request.encode())
                status = await reader.readline()
            finally:
                writer.transport.abort()
    except OSError as error:  # refused handshakes and time-outs are OSErrors too
        saw = (str(error) or type(error).__name__)[:120]
        return Attempt(name=name, refused=True, by=TRANSPORT, mark=mark, saw=saw)
    if not status:
        return Attempt(name=name, refused=True, by=TRANSPORT, mark=mark, saw="connection closed")
    code = [*status.split(), b"", b""][1].decode(errors="replace")
    return Attempt(name=name, refused=code == "403", by="sidecar", mark=mark, saw=f"HTTP {code}")


async def _around(target: Target) -> Attempt:
    """Look for a TCP port of the ledger's own to walk around its sidecar."""
    ports = await asyncio.to_thread(listening_ports, target.ledger_pid)
    name = "the service's own port around the sidecar"
    if target.neighbour:
        return await _from_next_door(name, target, target.neighbour, ports)
    if not ports:
        saw = "the ledger listens on a Unix socket in a private directory, on no port"
        return Attempt(name=name, refused=True, by="no port", saw=saw)
    here = Elsewhere(address=("127.0.0.1", ports[0]), open_socket=socket.socket)
    answered = await _exchange(name, here, None, "GET", LEDGER_READ, "ledger")
    return replace(answered, refused=False, saw=f"port {ports[0]} answers: {answered.saw}")


async def _from_next_door(
    name: str, target: Target, neighbour: Callable[[int], Elsewhere], ports: Sequence[int]
) -> Attempt:
    """Call the ledger's address from another service: its own ports, then its sidecar's."""
    for port in [*ports, target.ledger.address[1]]:
        where = neighbour(port)
        attempt = await _exchange(name, where, None, "GET", LEDGER_READ, "ledger")
        if attempt.by != TRANSPORT:
            return replace(attempt, refused=False, saw=f"port {port} answers: {attempt.saw}")
    return replace(attempt, mark={"destination": f"{EXTERNAL}{where.address[0]}"})


def listening_ports(pid: int) -> list[int]:
    """Return the TCP ports that the process `pid` listens on."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            link = str(descriptor.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if link.startswith("socket:["):
            inodes.add(link[len("socket:[") : -1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                found.append(int(columns[1].rpartition(":")[2], 16))
    return sorted(set(found))


def client_context(credentials: Credentials | None) -> ssl.SSLContext:
    """Return what a TLS client with these credentials connects with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the attacker does not care whom he reaches
    if credentials:
        context.load_cert_chain(credentials.pem)
    return context
