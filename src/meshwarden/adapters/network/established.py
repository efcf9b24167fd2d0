"""The TCP connections of a network namespace: listed with what names each, and ended one by one.

By sock_diag(7). The kernel numbers every socket of the machine with a cookie, so what is ended is
the connection that was listed and no later one between the same ports. SOCK_DESTROY resets both
ends: the local program's next call fails, and the peer is sent a RST. A kernel that was built
without it (CONFIG_INET_DIAG_DESTROY) lets the firewall do so: the connection joins the set
`SEVERED`, whose packets are answered with a RST in both directions.
"""

import errno
import ipaddress
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from meshwarden.adapters.network.network import SYSTEM_PATHS, entered
from meshwarden.adapters.network.rules import FABRIC, SEVERED, TABLE
from meshwarden.kernel import DependencyError

NETLINK_SOCK_DIAG: Final = 4  # linux/netlink.h, linux/sock_diag.h
SOCK_DIAG_BY_FAMILY: Final = 20
SOCK_DESTROY: Final = 21
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
ALIVE: Final = sum(1 << state for state in (1, 2, 4, 5, 8, 9, 11))
"""All states but LISTEN, SYN_RECV (nothing has come over it yet), TIME_WAIT, CLOSE."""

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBxI")  # inet_diag_req_v2 without its socket
_SOCKET = struct.Struct("!HH4s12x4s12x4x8s")  # inet_diag_sockid of IPv4
_FOUND = struct.Struct("=4x48s12xI4x")  # inet_diag_msg: the socket, its user
_ERROR = struct.Struct("=i")
_ANSWER_BYTES: Final = 64 * 1024
_FABRIC: Final = ipaddress.ip_network(FABRIC)


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection, from its own end.

    Attributes:
        local: address and port.
        remote: address and port of the other end.
        cookie: the kernel's name of the socket, as it wrote it.
    """

    local: tuple[str, int]
    remote: tuple[str, int]
    cookie: bytes


def list_connections(namespace: int, *, uid: int) -> frozenset[Connection]:
    """Return the connections between services that sockets of user `uid` have in `namespace`.

    Args:
        namespace: descriptor of a network namespace.
        uid: of the sidecar; the service's own connections to it are not meant.

    Raises:
        DependencyError: `network.connections` where the kernel does not tell.
    """
    request = render_request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, bytes(_SOCKET.size))
    found = set()
    with open_diagnosis(namespace) as asked:
        asked.send(request)
        for kind, body in read_answers(asked):
            if kind == NLMSG_DONE:
                break
            if kind == NLMSG_ERROR:
                number = -_ERROR.unpack_from(body)[0]
                raise DependencyError("network.connections", os.strerror(number))
            raw, owner = _FOUND.unpack_from(body)
            if owner == uid and (connection := parse_connection(raw)):
                found.add(connection)
    return frozenset(found)


def end_connections(
    namespace: int, connections: Iterable[Connection], *, by_firewall: bool = False
) -> int:
    """End those of `connections` that are still there; return how many were.

    Args:
        namespace: descriptor of the network namespace that they are in.
        connections: what `list_connections` returned.
        by_firewall: do not try SOCK_DESTROY.

    Raises:
        DependencyError: `network.connections` where neither kernel nor firewall does it.
    """
    wanted = list(connections)
    if by_firewall:
        return _end_by_firewall(namespace, wanted)
    ended = 0
    with open_diagnosis(namespace) as asked:
        for place, connection in enumerate(wanted):
            asked.send(render_request(SOCK_DESTROY, NLM_F_ACK, _render(connection)))
            _, body = next(read_answers(asked))
            number = -_ERROR.unpack_from(body)[0]
            if number == errno.EOPNOTSUPP:
                return ended + _end_by_firewall(namespace, wanted[place:])
            if number not in {0, errno.ENOENT}:
                raise DependencyError("network.connections", os.strerror(number))
            ended += number == 0
    return ended


def open_diagnosis(namespace: int) -> socket.socket:
    """Return a socket on which the kernel answers about the sockets of `namespace`."""
    with entered(namespace):
        found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    found.settimeout(5)  # the kernel answers at once
    return found


def render_request(kind: int, flags: int, wanted: bytes, *, details: int = 0) -> bytes:
    """Return a request about TCP sockets; `details`: bits of what is wanted of each."""
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, details, ALIVE) + wanted
    return _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body


def read_answers(asked: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each message, until nobody asks for more."""
    while True:
        raw = asked.recv(_ANSWER_BYTES)
        while len(raw) >= _HEADER.size:
            length, kind, *_ = _HEADER.unpack_from(raw)
            yield kind, raw[_HEADER.size : length]
            raw = raw[(length + 3) & ~3 :]


def parse_connection(raw: bytes) -> Connection | None:
    """Return the connection; None where one of its ends is no service's."""
    port, remote_port, address, remote, cookie = _SOCKET.unpack(raw)
    ends = ipaddress.ip_address(address), ipaddress.ip_address(remote)
    if not all(end in _FABRIC for end in ends):
        return None
    return Connection((str(ends[0]), port), (str(ends[1]), remote_port), cookie)


def _render(connection: Connection) -> bytes:
    (address, port), (remote, remote_port) = connection.local, connection.remote
    return _SOCKET.pack(
        port, remote_port, socket.inet_aton(address), socket.inet_aton(remote), connection.cookie
    )


def _end_by_firewall(namespace: int, connections: list[Connection]) -> int:
    if not connections:
        return 0
    elements = ", ".join(
        f"{one.local[0]} . {one.local[1]} . {one.remote[0]} . {one.remote[1]}"
        for one in connections
    )
    with entered(namespace):  # what is started meanwhile is in it
        done = subprocess.run(
            [shutil.which("nft", path=SYSTEM_PATHS) or "nft", "-f", "-"],
            input=f"add element {TABLE} {SEVERED} {{ {elements} }}\n",
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    if done.returncode != 0:
        raise DependencyError("network.connections", " ".join(done.stderr.split())[:300])
    return len(connections)
