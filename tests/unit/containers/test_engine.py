"""Engines that do not answer, never stop answering, or answer nonsense, over real sockets."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from meshwarden.adapters.containers import ContainerDriver, Engine
from meshwarden.adapters.containers import engine as engine_module
from meshwarden.kernel import DependencyError, InputError, MeshwardenError

Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextlib.asynccontextmanager
async def answering(socket: Path, answer: Answering) -> AsyncIterator[Engine]:
    working: set[asyncio.Task[None]] = set()

    async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            working.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()

    async with await asyncio.start_unix_server(_one, socket) as server:
        yield Engine(socket=socket, timeout_s=5.0)
        server.close()
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def silent(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.Event().wait()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def saying(status: str, body: bytes) -> Answering:
    async def _answer(writer: asyncio.StreamWriter) -> None:
        length = f"Content-Length: {len(body)}\r\n\r\n".encode()
        writer.write(f"HTTP/1.1 {status}\r\n".encode() + length + body)

    return _answer


async def test_an_answer_that_does_not_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "MAX_ANSWER_BYTES", 1 << 20)
    async with answering(tmp_path / "s", endless) as engine:
        with pytest.raises(DependencyError) as refused:
            await engine.inspect("x")
        assert refused.value.code == "containers.size"
        file = io.BytesIO()
        with pytest.raises(DependencyError):
            await engine.save("/containers/x/logs", file, max_bytes=100_000)
        assert len(file.getvalue()) <= 100_000


@pytest.mark.parametrize("answer", [silent, dripping])
async def test_an_engine_that_hangs_takes_no_longer_than_it_may(
    tmp_path: Path, answer: Answering
) -> None:
    async with answering(tmp_path / "s", answer) as engine:
        impatient = Engine(socket=engine.socket, timeout_s=0.3)
        with pytest.raises(DependencyError) as refused:
            await impatient.inspect("x")
    assert refused.value.code == "containers.engine"


async def test_what_is_no_engine_or_not_there_is_an_error(tmp_path: Path) -> None:
    async with answering(tmp_path / "s", nonsense) as engine:
        for one in (engine, Engine(socket=tmp_path / "nobody")):
            with pytest.raises(DependencyError) as refused:
                await one.inspect("x")
            assert refused.value.code == "containers.engine"


async def test_nonsense_and_refusals_are_no_containers(tmp_path: Path) -> None:
    async with answering(tmp_path / "a", saying("200 OK", b"{}")) as engine:
        with pytest.raises(InputError):
            await engine.inspect("x")
    async with answering(tmp_path / "b", saying("404 Not Found", b"")) as engine:
        assert await engine.inspect("x") is None
    said = b'{"message": "out of\\n memory"}'
    async with answering(tmp_path / "c", saying("500 Oh", said)) as engine:
        with pytest.raises(DependencyError, match="out of memory"):
            await engine.inspect("x")


async def test_a_driver_without_an_engine_fails_with_our_errors_alone(tmp_path: Path) -> None:
    engine = Engine(socket=tmp_path / "nobody")
    driver = ContainerDriver(engine=engine, names={"pay": "pay"}, folder=tmp_path)
    with pytest.raises(MeshwardenError):
        await driver.running("pay")
    assert await driver.running("nobody") is None
