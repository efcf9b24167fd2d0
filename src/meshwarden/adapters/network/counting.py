"""How many octets arrived: asked of the receivers' kernel, over connections that are open.

By sock_diag(7) with INET_DIAG_INFO. Who was cut off cannot change these figures: they are those of
the other end.
"""

import struct
from typing import Final

from meshwarden.adapters.network.established import (
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOCK_DIAG_BY_FAMILY,
    Connection,
    open_diagnosis,
    parse_connection,
    render_request,
)
from meshwarden.adapters.network.established import read_answers as _read
from meshwarden.kernel import DependencyError

INFO: Final = 2  # INET_DIAG_INFO, linux/inet_diag.h
_MESSAGE_BYTES: Final = 72  # inet_diag_msg
_SOCKET: Final = slice(4, 52)  # in it, of the connection's name: ports, addresses, cookie
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVED = struct.Struct("=Q")
_RECEIVED_AT: Final = 128  # tcpi_bytes_received in tcp_info, linux/tcp.h


def received_from(namespace: int, remote: str) -> dict[Connection, int]:
    """Return the octets that each connection of `namespace` has received from the host `remote`.

    Raises:
        DependencyError: `network.counting` where the kernel does not tell.
    """
    request = render_request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, bytes(48), details=1 << (INFO - 1))
    found: dict[Connection, int] = {}
    with open_diagnosis(namespace) as asked:
        asked.send(request)
        for kind, body in _read(asked):
            if kind == NLMSG_DONE:
                break
            if kind == NLMSG_ERROR:
                raise DependencyError("network.counting", "the kernel does not count here")
            connection = parse_connection(body[_SOCKET])
            if connection is not None and connection.remote[0] == remote:
                found[connection] = _received(body[_MESSAGE_BYTES:])
    return found


def _received(attributes: bytes) -> int:
    """Return tcpi_bytes_received; 0 where a kernel from before 4.1 does not know it."""
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == INFO and length >= _ATTRIBUTE.size + _RECEIVED_AT + _RECEIVED.size:
            counted: int = _RECEIVED.unpack_from(attributes, _ATTRIBUTE.size + _RECEIVED_AT)[0]
            return counted
        attributes = attributes[max((length + 3) & ~3, _ATTRIBUTE.size) :]
    return 0
