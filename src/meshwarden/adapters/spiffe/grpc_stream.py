"""gRPC for one accepted socket: HTTP/2 framing by `h2`, one caller for the connection's whole life.

Sources: RFC 9113; gRPC over HTTP/2. Unary calls and server streams of complete states, no
compression. Deadlines are the client's to keep: what it gives up, it resets.

What bounds a caller: requests of `MAX_REQUEST_BYTES`; `MAX_STREAMS` at a time on one connection;
`MAX_PER_SECOND` requests; nothing is read while what was written is not taken; a stream holds one
message at most, because a newer state replaces one that has not begun to go out. A message that
does not move for `STALLED_S` ends the connection, as does the end of the caller's process.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from meshwarden.adapters.spiffe.grpc_call import Answers, Code, Refusal, Request
from meshwarden.adapters.spiffe.grpc_framing import (
    Headers,
    Stream,
    framed,
    parse_message,
    status_headers,
)

MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_STREAMS: Final = 100
MAX_PER_SECOND: Final = 4000
MAX_PER_CONNECTION: Final = 50_000
"""Requests after which a connection ends, since `h2` remembers each; clients connect anew."""

STALLED_S: Final = 30.0
_CONFIG: Final = H2Configuration(
    client_side=False,
    header_encoding=None,
    # What arrives is compared with constants and never passed on; what goes out are constants.
    # Looking at each character of both is a quarter of what a call costs.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
_SETTINGS: Final = {
    SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
    SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
    SettingCodes.INITIAL_WINDOW_SIZE: 65_535,
}
_HEADERS: Final[Headers] = [(b":status", b"200"), (b"content-type", b"application/grpc")]


class GrpcConnection:
    """The server's end of one HTTP/2 connection; the protocol of its socket feeds it.

    Args:
        transport: where to write.
        answers: what the caller may have.
        now_s: a clock that only goes forward, in seconds.
    """

    def __init__(
        self, transport: asyncio.Transport, answers: Answers, now_s: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._answers = answers
        self._now_s = now_s
        self._http = H2Connection(_CONFIG)
        self._http.local_settings = Settings(client=False, initial_values=_SETTINGS)
        self._streams: dict[int, Stream] = {}
        self._writable = True
        self._requests = self._this_second = 0
        self._second = 0.0
        self._moved_at = now_s()
        self._http.initiate_connection()  # goes out with the first answer: one system call less

    @property
    def open_streams(self) -> int:
        """The calls that have not ended."""
        return len(self._streams)

    def receive(self, data: bytes) -> None:
        """Take bytes from the socket."""
        try:
            for event in self._http.receive_data(data):
                self._take(event)
            self._pump()
        except ProtocolError:
            self._flush()  # h2 has prepared the GOAWAY that names the fault
            self._transport.close()
            return
        self._flush()
        if self._requests >= MAX_PER_CONNECTION and not self._transport.is_closing():
            self.end(ErrorCodes.NO_ERROR)

    def refresh(self) -> None:
        """Look at the state of every stream again, and send what changed."""
        for stream in list(self._streams.values()):
            if stream.request is not None and stream.trailers is None:
                stream.due = True
        try:
            self._pump()
        except ProtocolError:
            self._transport.abort()
            return
        self._flush()

    def pause(self) -> None:
        """Hold back: the caller does not take what was written."""
        self._writable = False
        self._transport.pause_reading()

    def resume(self) -> None:
        """Go on."""
        self._writable = True
        self._transport.resume_reading()
        self.refresh()

    def stalled(self) -> bool:
        """Return whether a message has been waiting for the caller for too long."""
        waiting = not self._writable or any(one.rest for one in self._streams.values())
        return waiting and self._now_s() - self._moved_at > STALLED_S

    def end(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Say goodbye and close."""
        if self._transport.is_closing():
            return
        try:
            self._http.close_connection(code)
            self._flush()
        except ProtocolError:
            pass
        self._transport.close()

    def forget(self) -> None:
        """Give back what the caller's streams took; the socket is closed."""
        for _ in self._streams:
            self._answers.closed()
        self._streams.clear()

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data:
            self._transport.write(data)

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._open(event)
        elif isinstance(event, DataReceived):
            self._data(event)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None and stream.trailers is None:
                self._answer(stream)
        elif isinstance(event, StreamReset):
            self._drop(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self._transport.close()
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self._moved_at = self._now_s()

    def _open(self, event: RequestReceived) -> None:
        self._limit_rate()
        headers = dict(event.headers or [])
        stream = Stream(event.stream_id, headers.get(b":path", b"").decode("latin-1"), headers)
        if not self._answers.may_open():
            self._end(stream, Refusal(Code.UNAVAILABLE, "too many streams of one process"))
            return
        self._streams[event.stream_id] = stream
        kind = headers.get(b"content-type", b"")
        if headers.get(b":method") != b"POST" or not kind.startswith(b"application/grpc"):
            self._refuse(stream, Refusal(Code.INVALID_ARGUMENT, "this is no gRPC request"))

    def _limit_rate(self) -> None:
        self._requests += 1
        second = self._now_s()
        if second - self._second >= 1:
            self._second, self._this_second = second, 0
        self._this_second += 1
        if self._this_second > MAX_PER_SECOND:
            self.end(ErrorCodes.ENHANCE_YOUR_CALM)
            raise ProtocolError("too many requests")

    def _data(self, event: DataReceived) -> None:
        self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is None or stream.trailers is not None:
            return
        stream.body += event.data or b""
        if len(stream.body) > MAX_REQUEST_BYTES:
            self._refuse(stream, Refusal(Code.RESOURCE_EXHAUSTED, "the request is too large"))

    def _answer(self, stream: Stream) -> None:
        try:
            request = Request(stream.path, stream.metadata, parse_message(stream.body))
            stream.body = bytearray()
            answer = self._answers.unary(request)
            if answer is not None:
                stream.shown, stream.trailers = answer, status_headers(Code.OK)
                stream.rest = framed(answer)
            else:
                stream.shown = self._answers.state(request)
                stream.request, stream.rest = request, framed(stream.shown)
        except Refusal as refusal:
            self._refuse(stream, refusal)
            return
        if self._is_open(stream.number):
            self._http.send_headers(stream.number, _HEADERS)

    def _refuse(self, stream: Stream, refusal: Refusal) -> None:
        self._end(stream, refusal)
        self._drop(stream.number)

    def _end(self, stream: Stream, refusal: Refusal) -> None:
        if self._is_open(stream.number):
            headers = [*_HEADERS, *status_headers(refusal.code, refusal.message)]
            self._http.send_headers(stream.number, headers, end_stream=True)
            self._cut(stream.number)

    def _cut(self, number: int) -> None:
        """Take no more of a request that has been answered before its end."""
        if self._is_open(number):
            self._http.reset_stream(number, ErrorCodes.NO_ERROR)

    def _is_open(self, number: int) -> bool:
        """Return whether the stream still is; `h2` is ahead of the events that it returned."""
        stream = self._http.streams.get(number)
        return stream is not None and not stream.closed

    def _pump(self) -> None:
        for stream in list(self._streams.values()):
            while self._writable and stream.number in self._streams and self._send(stream):
                pass

    def _send(self, stream: Stream) -> bool:
        """Send a piece; return whether more may go out now."""
        if not self._is_open(stream.number):
            self._drop(stream.number)
            return False
        if stream.rest:
            return self._send_piece(stream)
        if stream.trailers is not None:
            self._http.send_headers(stream.number, stream.trailers, end_stream=True)
            self._cut(stream.number)
            self._drop(stream.number)
            return False
        return self._look_again(stream)

    def _send_piece(self, stream: Stream) -> bool:
        room = self._http.local_flow_control_window(stream.number)
        size = min(room, self._http.max_outbound_frame_size, len(stream.rest))
        if size <= 0:
            return False
        self._http.send_data(stream.number, bytes(stream.rest[:size]))
        stream.rest = stream.rest[size:]
        self._moved_at = self._now_s()
        self._flush()  # may pause
        return True

    def _look_again(self, stream: Stream) -> bool:
        """Prepare the state that a stream shows now, if it is due and another than before."""
        if not stream.due or stream.request is None:
            return False
        stream.due = False
        try:
            state = self._answers.state(stream.request)
        except Refusal as refusal:
            stream.trailers = status_headers(refusal.code, refusal.message)
            return True
        if state == stream.shown:
            return False
        stream.shown, stream.rest = state, framed(state)
        self._moved_at = self._now_s()
        return True

    def _drop(self, number: int) -> None:
        if self._streams.pop(number, None) is not None:
            self._answers.closed()
