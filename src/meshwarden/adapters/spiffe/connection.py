"""One accepted socket of the Workload API: attested first, then HTTP/2 for that caller."""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Final, cast

import structlog

from meshwarden.adapters.spiffe.attestation import Peer, attest
from meshwarden.adapters.spiffe.callers import Callers, Instance
from meshwarden.adapters.spiffe.grpc_call import Request
from meshwarden.adapters.spiffe.grpc_stream import GrpcConnection
from meshwarden.adapters.spiffe.workload_api import Issuing, WorkloadApi
from meshwarden.identity import ProcessFacts
from meshwarden.kernel import VerificationError

_READ_BYTES: Final = 16 * 1024
_MAX_EARLY: Final = 64 * 1024
"""Octets that a caller may send before it is known who it is."""

_CREDENTIALS = struct.Struct("3i")
_shared_buffer = bytearray(_READ_BYTES)  # each read is consumed before the next begins
_log = structlog.get_logger()

Admission = Callable[[Peer], Awaitable[ProcessFacts] | ProcessFacts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """How callers are received.

    Attributes:
        callers: who is connected, and what each may hold.
        issuing: decides and issues.
        admit: completes the facts of a new peer.
        ended: told of a process that has ended.
        spawn: runs work beside the rest.
    """

    callers: "Callers[Connection]"
    issuing: Issuing
    admit: Admission
    ended: Callable[[Instance], None]
    spawn: Callable[[Coroutine[None, None, None]], None]


class Connection(asyncio.BufferedProtocol):
    """One accepted socket: attested first, then HTTP/2 for that caller."""

    peer: Peer

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._callers = reception.callers
        self._early = bytearray()
        self._grpc: GrpcConnection | None = None
        self._transport: asyncio.Transport | None = None
        self._pidfd = -1
        self._instance: Instance = (0, 0)

    @property
    def facts(self) -> ProcessFacts:
        """Whose it is, as the kernel says."""
        return self.peer.facts

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Attest the caller, count it, and begin once its facts are complete."""
        self._transport = cast("asyncio.Transport", transport)  # of a stream socket
        try:
            self._identify(self._transport.get_extra_info("socket"))
        except (VerificationError, OSError) as error:
            _log.info("workload_not_attested", error=str(error))
            self._transport.abort()
            return
        if not self._callers.enter(self):
            _log.warning("workload_connections_exceeded", pid=self.facts.pid)
            self._transport.abort()
            return
        admitted = self._reception.admit(self.peer)
        if isinstance(admitted, ProcessFacts):
            self._start(admitted)
        else:
            self._transport.pause_reading()
            self._reception.spawn(self._admit(admitted))

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  # ours is of one size
        """Return where the next read goes."""
        return _shared_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        data = bytes(memoryview(_shared_buffer)[:nbytes])
        if self._grpc is not None:
            self._grpc.receive(data)
        elif len(self._early) + nbytes <= _MAX_EARLY:  # a pause may take hold after a first read
            self._early += data
        else:
            self._abort()

    def pause_writing(self) -> None:
        """Hold back: the caller does not take what was written."""
        if self._grpc is not None:
            self._grpc.pause()

    def resume_writing(self) -> None:
        """Go on."""
        if self._grpc is not None:
            self._grpc.resume()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  # gone either way
        """Give back what the caller held."""
        if self._grpc is not None:
            self._grpc.forget()
        if self._pidfd >= 0:
            self._callers.leave(self)
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def refresh(self) -> None:
        """Show every stream what there is now."""
        if self._grpc is not None and not self._is_closing():
            self._grpc.refresh()

    def look(self) -> None:
        """Cut off a caller that takes nothing."""
        if self._grpc is not None and self._grpc.stalled():
            _log.warning("workload_too_slow", pid=self.facts.pid)
            self._abort()

    def end(self) -> None:
        """Say goodbye and close."""
        if self._grpc is not None:
            self._grpc.end()
        else:
            self._abort()

    # what the caller may have (`Answers`)

    def unary(self, request: Request) -> bytes | None:
        """Answer as the Workload API does for this caller."""
        return self._api.unary(request)

    def state(self, request: Request) -> bytes:
        """Return what a stream of this caller shows now."""
        return self._api.state(request)

    def may_open(self) -> bool:
        """Count a stream of the process; return whether it may have it."""
        return self._callers.may_open(self._instance)

    def closed(self) -> None:
        """Count a stream of the process no more."""
        self._callers.closed(self._instance)

    def _identify(self, connection: socket.socket) -> None:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if not self._callers.room_for(_CREDENTIALS.unpack(raw)[1]):
            raise VerificationError("workload.connections", "too many connections of one user")
        self.peer = attest(connection)
        self._pidfd = self.peer.pidfd
        self._instance = self.facts.instance
        # A descriptor of the socket may have been handed on: it is worth nothing afterwards.
        asyncio.get_running_loop().add_reader(self._pidfd, self._process_ended)

    async def _admit(self, admitted: Awaitable[ProcessFacts]) -> None:
        facts = await admitted
        if self._transport is not None and not self._transport.is_closing():
            self._start(facts)
            self._transport.resume_reading()

    def _start(self, facts: ProcessFacts) -> None:
        assert self._transport is not None  # noqa: S101  # connected before
        self._api = WorkloadApi(self._reception.issuing, facts)
        loop = asyncio.get_running_loop()
        self._grpc = GrpcConnection(self._transport, self, loop.time)
        early, self._early = bytes(self._early), bytearray()
        if early:
            self._grpc.receive(early)

    def _process_ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._abort()
        self._reception.ended(self._instance)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()
