"""A client of the Workload API that does what no well-behaved client would: HTTP/2 by hand."""

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)

HEADER = ("workload.spiffe.io", "true")
X509 = "/SpiffeWorkloadAPI/FetchX509SVID"
JWT = "/SpiffeWorkloadAPI/FetchJWTSVID"


@dataclass(eq=False)
class RawClient:
    """One connection; blocking."""

    path: Path
    wire: socket.socket = field(init=False)
    events: list[Event] = field(default_factory=list)
    ended: bool = False

    opened: ClassVar[list["RawClient"]] = []

    def __post_init__(self) -> None:
        self.opened.append(self)
        self.wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.wire.settimeout(40)
        self.wire.connect(str(self.path))
        self.http = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False))
        self.http.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.wire.sendall(self.http.data_to_send())

    def call(
        self,
        method: str = X509,
        body: bytes | None = b"\0\0\0\0\0",
        headers: Iterable[tuple[str, str]] = (HEADER,),
        end: bool = True,
    ) -> int:
        """Send a call; return its stream."""
        number = self.http.get_next_available_stream_id()
        fixed = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        self.http.send_headers(number, [*fixed, *headers], end_stream=body is None)
        if body is not None:
            self.http.send_data(number, body, end_stream=end)
        self.flush()
        return number

    def read(self) -> bool:
        """Take what has arrived; return False at the end of the connection."""
        try:
            data = self.wire.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            return False
        new = self.http.receive_data(data)
        for event in new:
            if isinstance(event, DataReceived):
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.events += new
        self.flush()
        return True

    def status(self, number: int) -> int:
        """Return the call's status once it has ended."""
        while (found := self._status(number)) is None:
            self._read_on()
        return found

    def message(self, number: int) -> bytes:
        """Return the first message of a stream."""
        while (found := self._message(number)) is None:
            self._read_on()
        return found

    def outcome(self, number: int) -> int:
        """Return 0 once the first message of a stream is there, or else its status."""
        while self._message(number) is None:
            if found := self._status(number):
                return found
            self._read_on()
        return 0

    def _status(self, number: int) -> int | None:
        for event in self.events:
            if isinstance(event, ResponseReceived | TrailersReceived):
                found = dict(event.headers or [])
                if event.stream_id == number and b"grpc-status" in found:
                    return int(found[b"grpc-status"])
        return None

    def _message(self, number: int) -> bytes | None:
        data = b"".join(
            event.data or b""
            for event in self.events
            if isinstance(event, DataReceived) and event.stream_id == number
        )
        whole = len(data) >= 5 and len(data) >= 5 + struct.unpack(">I", data[1:5])[0]
        return data[5:] if whole else None

    def _read_on(self) -> None:
        if not self.read():
            raise AssertionError(f"the connection ended: {self.events[-3:]}")

    def wait_for_end(self) -> None:
        """Return once the server has ended the connection."""
        while not any(isinstance(event, ConnectionTerminated) for event in self.events):
            if not self.read():
                return

    def reset(self, number: int) -> bool:
        return any(isinstance(e, StreamReset) and e.stream_id == number for e in self.events)

    def close(self) -> None:
        self.wire.close()

    @classmethod
    def close_all(cls) -> None:
        """Close what a test left open."""
        while cls.opened:
            cls.opened.pop().close()
