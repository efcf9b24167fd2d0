"""One message of gRPC on the wire, and the state of one call over HTTP/2."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from meshwarden.adapters.spiffe.grpc_call import Code, Refusal, Request

Headers = list[tuple[bytes, bytes]]
_PREFIX: Final = struct.Struct(">?I")  # compressed, length


@dataclass(slots=True)
class Stream:
    """One call: what arrives, then what goes out."""

    number: int
    path: str
    metadata: Mapping[bytes, bytes]
    body: bytearray = field(default_factory=bytearray)
    request: Request | None = None  # set on a stream of states
    shown: bytes = b""
    rest: memoryview = field(default_factory=lambda: memoryview(b""))
    trailers: Headers | None = None
    due: bool = False


def parse_message(body: bytes | bytearray) -> bytes:
    """Return the one message of a request; Refusal where there is another number of them."""
    if len(body) < _PREFIX.size:
        raise Refusal(Code.INVALID_ARGUMENT, "the request holds no message")
    if body[0] not in {0, 1}:
        raise Refusal(Code.INVALID_ARGUMENT, "the request is malformed")
    compressed, length = _PREFIX.unpack_from(body)
    if compressed:
        raise Refusal(Code.UNIMPLEMENTED, "compression is not supported")
    if length != len(body) - _PREFIX.size:
        raise Refusal(Code.INVALID_ARGUMENT, "the request holds no single message")
    return bytes(body[_PREFIX.size :])


def framed(message: bytes) -> memoryview:
    """Return a message as it goes out, uncompressed."""
    return memoryview(_PREFIX.pack(False, len(message)) + message)


def status_headers(code: Code, message: str = "") -> Headers:
    """Return the trailers that end a call."""
    found = [(b"grpc-status", str(int(code)).encode())]
    if message:
        found.append((b"grpc-message", quote(message, safe=" :,.'()/-").encode()))
    return found
