"""Raw clients with certificates: HTTP/1.1 and HTTP/2 requests whose bytes are exactly as asked."""

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


def client_context(files: tuple[Path, Path], *, alpn: str) -> ssl.SSLContext:
    """Return a client's TLS context that presents `files`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    context.load_cert_chain(*files)
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the status (None: closed), and the rule that the proxy says it applied."""

    status: int | None
    rule: str | None = None


@dataclass(slots=True)
class Http1Client:
    """Raw HTTP/1.1 requests of one caller, on one connection as long as the proxy keeps it open."""

    port: int
    context: ssl.SSLContext
    _connection: ssl.SSLSocket | None = None

    def ask(self, method: str, path: str, *fields: str) -> Answer:
        """Send one request whose bytes are exactly these; a field is `name: value`."""
        more = "".join(f"{field}\r\n" for field in fields)
        for fresh in (False, True):
            if self._connection is None or fresh:
                self.close()
                self._connection = _connect(self.port, self.context)
            with suppress(OSError):
                request = f"{method} {path} HTTP/1.1\r\nhost: callee\r\n{more}\r\n".encode(
                    "latin-1"
                )
                self._connection.sendall(request)
                if head := _receive(self._connection, b"\r\n\r\n"):
                    return self._answer(method, head)
        self.close()
        return Answer(status=None)

    def _answer(self, method: str, received: bytes) -> Answer:
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
        }
        length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        while len(body) < length and (chunk := self._connection and self._connection.recv(65536)):
            body += chunk
        if headers.get("connection") == "close":
            self.close()
        return Answer(status=int(lines[0].split()[1]), rule=headers.get("x-rule"))

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", port), timeout=40)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(raw)


def _receive(connection: ssl.SSLSocket, until: bytes) -> bytes:
    """Return what comes, at least to `until`; nothing where the other side closes before that."""
    received = b""
    while until not in received:
        if not (chunk := connection.recv(65536)):
            return b""
        received += chunk
    return received


def ask_http2(port: int, context: ssl.SSLContext, fields: Sequence[tuple[str, str]]) -> bool:
    """Send one HTTP/2 request with exactly these header fields; return whether it got a 200.

    RFC 9113 and RFC 7541 by hand (literals, no Huffman): client libraries refuse to send nonsense.
    """
    block = b"".join(
        b"\x00" + _text(name.encode("latin-1")) + _text(value.encode("latin-1"))
        for name, value in fields
    )
    no_table = b"\x00\x01\x00\x00\x00\x00"  # SETTINGS_HEADER_TABLE_SIZE = 0
    request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, no_table)
    pieces = [block[start : start + 16000] for start in range(0, len(block), 16000)]
    for number, piece in enumerate(pieces):
        last = 4 if number == len(pieces) - 1 else 0
        request += _frame(9, last, 1, piece) if number else _frame(1, 1 | last, 1, piece)
    with _connect(port, context) as connection:
        connection.sendall(request)
        return _status_is_200(connection)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _text(value: bytes) -> bytes:
    length, encoded = len(value), b""
    if length < 127:
        return bytes([length]) + value
    length -= 127
    while length >= 128:
        encoded += bytes([length % 128 + 128])
        length //= 128
    return b"\x7f" + encoded + bytes([length]) + value


def _status_is_200(connection: ssl.SSLSocket) -> bool:
    received = b""
    while True:
        while len(received) >= 9 and len(received) >= (end := 9 + int.from_bytes(received[:3])):
            kind, payload = received[3], received[9:end]
            if kind == 1:  # HEADERS; an update of the table's size may come before :status
                return payload.lstrip(b"\x20")[:1] == b"\x88"
            if kind in {3, 7}:  # RST_STREAM, GOAWAY
                return False
            received = received[end:]
        chunk = b""
        with suppress(OSError):
            chunk = connection.recv(65536)
        if not chunk:
            return False
        received += chunk


def echoes(port: int, context: ssl.SSLContext) -> bool:
    """Return whether a connection to `port` carries bytes."""
    with suppress(OSError), _connect(port, context) as connection:
        connection.sendall(b"x")
        return connection.recv(1) == b"x"
    return False
