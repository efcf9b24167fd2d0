"""The Workload API against callers that mean harm: by hand-made HTTP/2, in great number, too slow."""

import asyncio
import errno
import os
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.raw_http2 import JWT, X509, RawClient
from tests.e2e.small_mesh import eventually
from tests.e2e.workload_support import IDENTITY, World, in_thread, workload_world

from meshwarden.adapters.spiffe import attestation, grpc_stream, messages
from meshwarden.adapters.spiffe.attestation import attest, start_ticks_of
from meshwarden.adapters.spiffe.callers import Bounds
from meshwarden.adapters.spiffe.listening import open_socket
from meshwarden.identity import Session
from meshwarden.kernel import ConfigError, StateError, VerificationError

pytestmark = pytest.mark.e2e
OK, INVALID, DENIED, EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE = 0, 3, 7, 8, 12, 14


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    bounds = Bounds(per_process=8, per_user=12, streams=40)
    async with workload_world(tmp_path, bounds=bounds) as found:
        yield found
        RawClient.close_all()


def framed(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


def jwt_request(*audience: str, spiffe_id: str = "") -> bytes:
    request = messages.JWTSVIDRequest(audience=audience, spiffe_id=spiffe_id)
    return framed(request.SerializeToString())


@pytest.mark.parametrize(
    ("method", "body", "headers", "status"),
    [
        pytest.param(X509, framed(b""), (), INVALID, id="no security header"),
        pytest.param(X509, framed(b""), (("workload.spiffe.io", "yes"),), INVALID, id="wrong value"),
        pytest.param("/SpiffeWorkloadAPI/FetchWITSVID", framed(b""), None, UNIMPLEMENTED, id="wit"),
        pytest.param("/other.Service/Method", framed(b""), None, UNIMPLEMENTED, id="service"),
        pytest.param(X509, None, None, INVALID, id="no message"),
        pytest.param(X509, b"\0\0\0\0\5abc", None, INVALID, id="short message"),
        pytest.param(X509, framed(b"") * 2, None, INVALID, id="two messages"),
        pytest.param(X509, b"\1\0\0\0\0", None, UNIMPLEMENTED, id="compressed"),
        pytest.param(X509, b"\x77\0\0\0\0", None, INVALID, id="neither"),
        pytest.param(JWT, framed(b"\xff\xff\xff"), None, INVALID, id="no protobuf"),
        pytest.param(JWT, jwt_request(), None, INVALID, id="no audience"),
        pytest.param(JWT, jwt_request(""), None, INVALID, id="empty audience"),
        pytest.param(JWT, jwt_request(*"abcdefghijklmnopqrstuvwxyz"), None, INVALID, id="many"),
        pytest.param(JWT, jwt_request("a" * 2000), None, INVALID, id="long audience"),
        pytest.param(JWT, jwt_request("a", spiffe_id="http://x"), None, INVALID, id="no SPIFFE ID"),
        pytest.param(JWT, jwt_request("a", spiffe_id=f"{IDENTITY}x"), None, DENIED, id="foreign"),
        pytest.param(JWT, jwt_request("a"), None, OK, id="well-formed"),
    ],
)  # fmt: skip
async def test_each_fault_has_its_status(
    world: World,
    method: str,
    body: bytes | None,
    headers: tuple[tuple[str, str], ...] | None,
    status: int,
) -> None:
    def _ask() -> int:
        client = RawClient(world.path)
        more: dict[str, Any] = {} if headers is None else {"headers": headers}
        found = client.status(client.call(method, body, **more))
        client.close()
        return found

    assert await in_thread(_ask) == status


async def test_a_request_that_never_ends_is_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_stream, "MAX_REQUEST_BYTES", 1000)

    def _ask() -> int:
        client = RawClient(world.path)
        number = client.call(JWT, b"", end=False)
        client.http.send_data(number, b"x" * 1001)
        client.flush()
        return client.status(number)

    assert await in_thread(_ask) == EXHAUSTED


async def test_garbage_ends_the_connection_and_nothing_else(world: World) -> None:
    def _ask() -> int:
        with socket.socket(socket.AF_UNIX) as bad:
            bad.settimeout(40)
            bad.connect(str(world.path))
            bad.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
            while bad.recv(4096):
                pass
        client = RawClient(world.path)
        return client.status(client.call(JWT, jwt_request("a")))

    assert await in_thread(_ask) == OK


async def test_streams_of_one_process_are_bounded_over_all_its_connections(world: World) -> None:
    def _ask() -> Counter[int]:
        clients = [RawClient(world.path) for _ in range(3)]
        opened = [(client, client.call()) for client in clients for _ in range(20)]
        return Counter(client.outcome(number) for client, number in opened)

    def _again() -> int:
        again = RawClient(world.path)
        return len(again.message(again.call()))

    assert await in_thread(_ask) == {OK: 40, UNAVAILABLE: 20}
    RawClient.close_all()
    await eventually(_none_of(world))
    assert await in_thread(_again) > 0
    assert len(world.issued) == 1  # one process, one SVID


async def test_thousands_of_streams_of_one_process_keep_nobody_else_out(tmp_path: Path) -> None:
    async with workload_world(tmp_path) as world:

        def _flood() -> Counter[int]:
            clients = [RawClient(world.path) for _ in range(30)]
            opened = [(client, client.call()) for client in clients for _ in range(100)]
            return Counter(client.outcome(number) for client, number in opened)

        assert await in_thread(_flood) == {OK: Bounds().streams, UNAVAILABLE: 2744}
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ASKING, str(world.path), cwd=Path(__file__).parents[2],
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(other.communicate(b"message\n"), 40)
        assert int(said) > 0
        RawClient.close_all()
        await eventually(_none_of(world))


async def test_connections_of_one_process_and_of_one_user_are_bounded(world: World) -> None:
    def _ask() -> int:
        clients = [RawClient(world.path) for _ in range(9)]
        for client in clients[:8]:
            client.message(client.call())
        try:
            clients[8].wait_for_end()
        except ConnectionError:
            clients[8].ended = True
        for client in clients:
            client.close()
        return sum(client.ended for client in clients)

    assert await in_thread(_ask) == 1
    await eventually(_none_of(world))


async def test_too_many_requests_at_once_end_the_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_stream, "MAX_PER_SECOND", 50)

    def _ask() -> bool:
        client = RawClient(world.path)
        try:
            for _ in range(120):
                number = client.call(JWT, jwt_request("a"))
                client.http.reset_stream(number)
                client.flush()
            client.wait_for_end()
        except (ConnectionError, BrokenPipeError):
            client.ended = True
        return client.ended or bool(client.events)

    assert await in_thread(_ask)
    await eventually(_none_of(world))


async def test_a_reader_that_takes_nothing_gets_no_more_than_one_message(world: World) -> None:
    """Its window stays shut; a hundred new states are not kept for it, and at last it is cut off."""
    slow = RawClient(world.path)
    await in_thread(slow.message, slow.call())
    slow.http.update_settings({4: 0})  # INITIAL_WINDOW_SIZE: not one byte more
    slow.flush()
    quick = RawClient(world.path)
    await in_thread(quick.message, quick.call())
    for minutes in range(1, 100):
        world.clock.offset = timedelta(minutes=40 * minutes)
        world.server.refresh(world.issuing.renew_due())
        await asyncio.sleep(0)
    held = [
        len(s.rest)
        for c in world.server.callers.connections
        if c._grpc
        for s in c._grpc._streams.values()
    ]
    assert max(held) < 10_000
    for one in list(world.server.callers.connections):
        if one._grpc and any(stream.rest for stream in one._grpc._streams.values()):
            one._grpc._moved_at -= grpc_stream.STALLED_S + 1
    assert await in_thread(_ends, slow)


def _ends(client: RawClient) -> bool:
    client.wait_for_end()
    return client.ended


def _none_of(world: World):  # type: ignore[no-untyped-def]  # noqa: ANN202
    async def _none() -> bool:
        return len(world.server.callers.connections) == 0 and not world.server.callers.streams

    return _none


CONNECT = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.set_inheritable(True)
if os.fork() == 0:
    sys.stdin.readline()  # holds the socket of a process that is gone
    os._exit(0)
os.write(1, b"x")
if sys.argv[2] == "exit": os._exit(0)
sys.stdin.readline()
"""


def test_a_process_that_ended_between_connect_and_check_gets_nothing(tmp_path: Path) -> None:
    """Its child holds the connection; whoever has its number by then must not inherit from it."""
    listening = open_socket(tmp_path / "s")
    command = [sys.executable, "-c", CONNECT, str(tmp_path / "s"), "exit"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.wait(60)
    connection, _ = listening.accept()
    with pytest.raises(VerificationError) as refused:
        attest(connection)
    assert refused.value.code == "attestation.gone"
    connection.close()
    listening.close()
    child.communicate(b"\n")


class Answering:
    """A connection of this process, from a kernel that answers for a handle as it is told."""

    def __init__(self, connection: socket.socket, number: int, uid: int) -> None:
        self._connection, self._errno, self._uid = connection, number, uid

    def getsockopt(self, level: int, option: int, *size: int) -> int | bytes:
        if option == attestation.SO_PEERPIDFD:
            raise OSError(self._errno, "as told")
        if option == socket.SO_PEERCRED:
            return struct.pack("3i", os.getpid(), self._uid, os.getgid())
        return self._connection.getsockopt(level, option, *size)


@pytest.mark.parametrize(
    ("number", "more", "known"),
    [
        pytest.param(errno.ENOPROTOOPT, 0, True, id="an old kernel, the same user"),
        pytest.param(errno.ENOPROTOOPT, 1, False, id="an old kernel, the number is another user's"),
        pytest.param(errno.EINVAL, 0, False, id="it is gone, whoever has its number now"),
        pytest.param(errno.ESRCH, 0, False, id="it is gone"),
    ],
)
def test_a_number_that_passed_to_another_process_is_not_taken_for_the_caller(
    number: int, more: int, known: bool
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asked: Any = Answering(ours, number, os.geteuid() + more)
        if known:
            os.close(attest(asked).pidfd)
            return
        with pytest.raises(VerificationError) as refused:
            attest(asked)
    assert refused.value.code == "attestation.gone"


async def test_facts_of_two_processes_are_never_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number's start changes while its facts are read: they are thrown away."""
    starts = iter([(1, 100), (1, 100), (1, 200)])
    monkeypatch.setattr(attestation, "_stat", lambda _: next(starts))
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(VerificationError) as refused:
        attest(ours)
    assert refused.value.code == "attestation.gone"


async def test_a_connection_ends_with_the_process_that_made_it(world: World) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CONNECT, str(world.path), "stay",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    assert child.stdin
    await child.stdout.readexactly(1)

    async def _there() -> bool:
        return len(world.server.callers.connections) == 1

    await eventually(_there)
    child.kill()  # its own child still holds the socket
    await eventually(_none_of(world))
    child.stdin.close()
    await child.wait()
    await child.stdout.read()  # its child has ended too


ASKING = """
import pathlib, sys
from tests.e2e.raw_http2 import RawClient
client = RawClient(pathlib.Path(sys.argv[1]))
for wanted in sys.stdin:
    number = client.call()
    print(client.status(number) if wanted == "status\\n" else len(client.message(number)), flush=True)
"""


async def test_a_session_selects_its_members_and_nobody_else(world: World) -> None:
    world.registrations.clear()
    member = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASKING, str(world.path),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    asks, answers = member.stdin, member.stdout
    assert asks
    assert answers

    async def of_member(wanted: bytes) -> int:
        asks.write(wanted + b"\n")
        return int(await asyncio.wait_for(answers.readline(), 20))

    ticks = start_ticks_of(member.pid)
    assert ticks is not None
    world.register(IDENTITY, session=Session(leader=member.pid, start_ticks=ticks + 1))
    assert await of_member(b"status") == DENIED
    world.registrations.clear()
    world.register(IDENTITY, session=Session(leader=member.pid, start_ticks=ticks))
    outsider = RawClient(world.path)
    assert await in_thread(outsider.status, outsider.call()) == DENIED
    assert await of_member(b"message") > 0
    asks.close()
    await member.wait()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(ConfigError) as refused:
        open_socket(tmp_path / "s")
    assert refused.value.code == "workload.directory"


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(StateError) as refused:
        open_socket(tmp_path / "s")
    assert refused.value.code == "workload.socket_taken"
    assert (tmp_path / "s").read_text() == "mine"


def test_a_socket_on_which_another_listens_is_left_to_it_and_a_stale_one_is_replaced(
    tmp_path: Path,
) -> None:
    first = open_socket(tmp_path / "s")
    with pytest.raises(StateError):
        open_socket(tmp_path / "s")
    first.close()
    open_socket(tmp_path / "s").close()
