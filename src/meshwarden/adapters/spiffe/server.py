"""The Workload API's Unix socket: accepts, attests, bounds, and serves until closed.

Whoever can reach the socket may ask; what a process gets is decided by who it is. Bounds hold for
each process, each user and all together, so that none keeps the others out. The socket's directory
must belong to us and be writable by nobody else: another could put its own socket in our place.
"""

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import structlog

from meshwarden.adapters.spiffe.attestation import Peer, attest
from meshwarden.adapters.spiffe.grpc_stream import GrpcConnection, Request
from meshwarden.adapters.spiffe.workload_api import Issuing, WorkloadApi
from meshwarden.identity import ProcessFacts
from meshwarden.kernel import ConfigError, DependencyError, StateError, VerificationError

BACKLOG: Final = 1024
LOOK_S: Final = 1.0
_SHARE: Final = 32  # connections refreshed in one go; others' requests come in between
_READ_BYTES: Final = 16 * 1024
_MAX_EARLY: Final = 64 * 1024
"""Octets that a caller may send before it is known who it is."""

_CREDENTIALS = struct.Struct("3i")
_log = structlog.get_logger()

Instance = tuple[int, int]
Admission = Callable[[Peer], Awaitable[ProcessFacts] | ProcessFacts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much one caller may hold.

    Attributes:
        connections: of all callers.
        per_user: connections of one user; a quarter of `connections` leaves room for others.
        per_process: connections of one process.
        streams: calls of one process at a time, over all its connections.
    """

    connections: int = 16_384
    per_user: int = 4096
    per_process: int = 64
    streams: int = 256


@dataclass(kw_only=True)
class WorkloadServer:
    """Serves `issuing` to attested callers.

    Attributes:
        issuing: decides and issues.
        admit: completes the facts of a new peer (digests, a wait for its registration).
        bounds: see there.
        ended: told of a process that has ended, once none of its connections is left.
    """

    issuing: Issuing
    admit: Admission = lambda peer: peer.facts
    bounds: Bounds = field(default_factory=Bounds)
    ended: Callable[[Instance], None] = lambda _: None
    _connections: "set[_Connection]" = field(init=False, default_factory=set)
    _by_instance: "dict[Instance, set[_Connection]]" = field(init=False, default_factory=dict)
    _users: Counter[int] = field(init=False, default_factory=Counter)
    _streams: Counter[Instance] = field(init=False, default_factory=Counter)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    @contextlib.asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        """Serve on the Unix socket `path` while the context lasts.

        Raises:
            ConfigError: `workload.directory` where another account could replace the socket.
            StateError: `workload.socket_taken` where something else is at that place.
            DependencyError: `workload.socket` where the socket cannot be made.
        """
        listening = open_socket(path)
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Connection(self), sock=listening, backlog=BACKLOG
        )
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()
            server.close()
            for connection in list(self._connections):
                connection.end()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(looking, *self._tasks, return_exceptions=True)
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108  # of a socket: nothing to wait for

    @property
    def connections(self) -> int:
        """How many callers are connected."""
        return len(self._connections)

    def has(self, instance: Instance) -> bool:
        """Return whether the process is connected."""
        return instance in self._by_instance

    def refresh(self, instances: Iterable[Instance] | None = None) -> None:
        """Show every stream, or those of some processes, what there is now."""
        if instances is None:
            chosen = list(self._connections)
        else:
            chosen = [one for each in instances for one in self._by_instance.get(each, ())]
        self._refresh_share(chosen)

    def _refresh_share(self, chosen: "list[_Connection]") -> None:
        for connection in chosen[:_SHARE]:
            connection.refresh()
        if chosen[_SHARE:]:
            asyncio.get_running_loop().call_soon(self._refresh_share, chosen[_SHARE:])

    def room_for(self, uid: int) -> bool:
        """Return whether the user may have one more connection."""
        return (
            len(self._connections) < self.bounds.connections
            and self._users[uid] < self.bounds.per_user
        )

    def enter(self, connection: "_Connection") -> bool:
        """Count a connection; return whether its process may have it."""
        facts = connection.peer.facts
        own = self._by_instance.setdefault(facts.instance, set())
        if len(own) >= self.bounds.per_process:
            return False
        own.add(connection)
        self._connections.add(connection)
        self._users[facts.uid] += 1
        return True

    def leave(self, connection: "_Connection") -> None:
        """Count a connection no more."""
        if connection not in self._connections:
            return
        facts = connection.peer.facts
        self._connections.discard(connection)
        self._users[facts.uid] -= 1
        self._users += Counter()  # forgets those at zero
        own = self._by_instance[facts.instance]
        own.discard(connection)
        if not own:
            del self._by_instance[facts.instance]

    def may_open(self, instance: Instance) -> bool:
        """Count a stream of a process; return whether it may have it."""
        if self._streams[instance] >= self.bounds.streams:
            return False
        self._streams[instance] += 1
        return True

    def closed(self, instance: Instance) -> None:
        """Count a stream no more."""
        self._streams[instance] -= 1
        if self._streams[instance] <= 0:
            del self._streams[instance]

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run `work` beside the rest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for connection in list(self._connections):
                connection.look()


class _Connection(asyncio.BufferedProtocol):
    """One accepted socket: attested first, then HTTP/2 for that caller."""

    peer: Peer

    def __init__(self, server: WorkloadServer) -> None:
        self._server = server
        self._early = bytearray()
        self._grpc: GrpcConnection | None = None
        self._transport: asyncio.Transport | None = None
        self._pidfd = -1
        self._instance: Instance = (0, 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # of a stream socket
        try:
            self._identify(self._transport.get_extra_info("socket"))
        except (VerificationError, OSError) as error:
            _log.info("workload_not_attested", error=str(error))
            self._transport.abort()
            return
        if not self._server.enter(self):
            _log.warning("workload_connections_exceeded", pid=self.peer.facts.pid)
            self._transport.abort()
            return
        admitted = self._server.admit(self.peer)
        if isinstance(admitted, ProcessFacts):
            self._start(admitted)
        else:
            self._transport.pause_reading()
            self._server.spawn(self._admit(admitted))

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  # ours is of one size
        return _shared_buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(memoryview(_shared_buffer)[:nbytes])
        if self._grpc is not None:
            self._grpc.receive(data)
        elif len(self._early) + nbytes <= _MAX_EARLY:  # a pause may take hold after a first read
            self._early += data
        else:
            self._abort()

    def pause_writing(self) -> None:
        if self._grpc is not None:
            self._grpc.pause()

    def resume_writing(self) -> None:
        if self._grpc is not None:
            self._grpc.resume()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  # gone either way
        if self._grpc is not None:
            self._grpc.forget()
        if self._pidfd >= 0:
            self._server.leave(self)
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def refresh(self) -> None:
        if self._grpc is not None and not self._is_closing():
            self._grpc.refresh()

    def look(self) -> None:
        if self._grpc is not None and self._grpc.stalled():
            _log.warning("workload_too_slow", pid=self.peer.facts.pid)
            self._abort()

    def end(self) -> None:
        if self._grpc is not None:
            self._grpc.end()
        else:
            self._abort()

    # what the caller may have (`Answers`)

    def unary(self, request: Request) -> bytes | None:
        return self._api.unary(request)

    def state(self, request: Request) -> bytes:
        return self._api.state(request)

    def may_open(self) -> bool:
        return self._server.may_open(self._instance)

    def closed(self) -> None:
        self._server.closed(self._instance)

    def _identify(self, connection: socket.socket) -> None:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if not self._server.room_for(_CREDENTIALS.unpack(raw)[1]):
            raise VerificationError("workload.connections", "too many connections of one user")
        self.peer = attest(connection)
        self._pidfd = self.peer.pidfd
        self._instance = self.peer.facts.instance
        # A descriptor of the socket may have been handed on: it is worth nothing afterwards.
        asyncio.get_running_loop().add_reader(self._pidfd, self._process_ended)

    async def _admit(self, admitted: Awaitable[ProcessFacts]) -> None:
        facts = await admitted
        if self._transport is not None and not self._transport.is_closing():
            self._start(facts)
            self._transport.resume_reading()

    def _start(self, facts: ProcessFacts) -> None:
        assert self._transport is not None  # noqa: S101  # connected before
        self._api = WorkloadApi(self._server.issuing, facts)
        loop = asyncio.get_running_loop()
        self._grpc = GrpcConnection(self._transport, self, loop.time)
        early, self._early = bytes(self._early), bytearray()
        if early:
            self._grpc.receive(early)

    def _process_ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._abort()
        self._server.ended(self._instance)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()


_shared_buffer = bytearray(_READ_BYTES)  # each read is consumed before the next begins


def open_socket(path: Path) -> socket.socket:
    """Return a listening Unix socket at `path` that every account may connect to."""
    _require_directory(path.parent)
    _require_free(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.setblocking(False)
    try:
        listening.bind(str(path))
        path.chmod(0o666)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise DependencyError(
            "workload.socket", f"the Workload API cannot listen on {path}: {error.strerror}"
        ) from error
    return listening


def _require_directory(directory: Path) -> None:
    try:
        found = directory.stat()
    except OSError as error:
        raise DependencyError(
            "workload.socket", f"the directory {directory} cannot be used: {error.strerror}"
        ) from error
    if found.st_mode & 0o022 or found.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(
            "workload.directory",
            f"the Workload API does not listen in {directory}: mode"
            f" {stat.S_IMODE(found.st_mode):o}, user {found.st_uid}; another account could put its"
            " own socket there",
            hint=f"chmod go-w {directory}, owned by the account that runs meshwarden",
        )


def _require_free(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else that is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise _taken(path, "which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:
            pass
    raise _taken(path, "where another process listens")


def _taken(path: Path, why: str) -> StateError:
    return StateError(
        "workload.socket_taken", f"the Workload API cannot listen on {path}, {why}",
        hint="stop it, or remove the file",
    )  # fmt: skip
