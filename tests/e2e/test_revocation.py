"""Revoking one certificate, in a whole mesh under load: refused everywhere, and nobody else is."""

import asyncio
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.e2e.small_mesh import Running, eventually, running_mesh
from tests.e2e.steady_load import steady_load
from tests.e2e.thief import REFUSED, Holder, Line, stolen_svid

from meshwarden.control.layout import CONTROL_PLANE, inbound_tcp_ports, outbound_tcp_ports

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
A_SECOND_MS = 1000
BUSY_MS = 10 * A_SECOND_MS  # on a machine that is overloaded; the control plane's own clock
ROUNDS = 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_mesh(tmp_path_factory.mktemp("m")) as running:
        await running.settled()
        yield running


def back(mesh: Running) -> tuple[str, int]:
    address = mesh.layout.address("back")
    return address.host, address.port


def store(mesh: Running) -> tuple[str, int]:
    return mesh.layout.host("store"), inbound_tcp_ports([5432])[5432]


def to_store(mesh: Running) -> tuple[str, int]:
    """Return where front itself finds the store."""
    return mesh.layout.host("front"), outbound_tcp_ports({("store", 5432)})["store", 5432]


async def ask(mesh: Running, method: str, path: str, body: object = None) -> dict[str, Any]:
    transport = httpx.AsyncHTTPTransport(uds=str(mesh.layout.api_socket))
    async with httpx.AsyncClient(transport=transport, timeout=40) as client:
        answer = await client.request(method, f"http://api{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def revoke(mesh: Running, target: str, **more: object) -> dict[str, Any]:
    """Return what a revocation did, once it is in force everywhere."""
    revoked = await ask(mesh, "POST", "/v1/identity/revoke", {"target": target, **more})
    assert revoked["recorded"] is True
    assert 0 < revoked["enforced_ms"] < BUSY_MS
    if revoked["pending"]:  # a busy machine: the command does not wait for longer
        await mesh.settled()
    return revoked


async def current(mesh: Running, service: str) -> str:
    """Return the SHA-256 of the SVID that the service's sidecar should present."""
    found = await ask(mesh, "GET", "/v1/identity")
    [sha256] = [
        one["sha256"]
        for one in found["certificates"]
        if one["instance"] == service and one["status"] == "current"
    ]
    return str(sha256)


async def refused(holder: Holder, line: Line, address: tuple[str, int]) -> None:
    assert await line.get() == 403
    assert await holder.get_anew(*address) == REFUSED


async def test_a_stolen_svid_is_refused_on_its_open_connection_and_on_new_ones(
    mesh: Running, tmp_path: Path
) -> None:
    thief, clean = (stolen_svid(mesh.layout, "front", tmp_path) for _ in range(2))
    async with (
        steady_load(mesh.layout.proxy("front")) as load,
        thief.line(*back(mesh)) as open_line,
        clean.line(*back(mesh)) as clean_line,
    ):
        assert await open_line.get() == await clean_line.get() == 200
        await revoke(mesh, thief.pem, reason="stolen")
        await refused(thief, open_line, back(mesh))
        assert await clean_line.get() == await clean.get_anew(*back(mesh)) == 200
        await load.reached(100)
    assert set(load.statuses) == {200}
    by = {row["rule"] for row in await mesh.rows(source_certificate=thief.sha256, denied=True)}
    assert "containment:certificate" in by
    assert await mesh.rows(rule="tls:revoked")


async def test_it_is_enforced_everywhere_within_a_second(mesh: Running, tmp_path: Path) -> None:
    took: list[float] = []
    while min(took, default=A_SECOND_MS) >= A_SECOND_MS:  # a busy machine may hold up a few
        assert len(took) < ROUNDS, took
        revoked = await revoke(mesh, stolen_svid(mesh.layout, "front", tmp_path).pem)
        took.append(A_SECOND_MS if revoked["pending"] else revoked["enforced_ms"])


async def test_a_thief_who_never_stops_asking_gets_nothing_from_the_answer_on(
    mesh: Running, tmp_path: Path
) -> None:
    thief = stolen_svid(mesh.layout, "front", tmp_path)
    asked: list[tuple[float, int | str]] = []
    clock = asyncio.get_running_loop().time

    async def _steal(line: Line) -> None:
        while not asked or asked[-1][1] != REFUSED:
            began = clock()
            asked.append((began, await line.get()))

    async with thief.line(*back(mesh)) as first, thief.line(*back(mesh)) as second:
        stealing = [asyncio.create_task(_steal(line)) for line in (first, second)]
        await eventually(_has(asked, 20), what="the thief is served")
        assert {status for _, status in asked} == {200}
        await revoke(mesh, thief.pem)
        enforced, before = clock(), len(asked)
        await eventually(_has(asked, before + 20), what="the thief goes on")
        for task in stealing:
            task.cancel()
        await asyncio.gather(*stealing, return_exceptions=True)
    assert {status for began, status in asked if began > enforced} == {403}
    served = await mesh.rows(source_certificate=thief.sha256, denied=False)
    cut = await mesh.rows(source_certificate=thief.sha256, denied=True)
    assert max(int(str(row["time"])) for row in served) < max(int(str(row["time"])) for row in cut)
    [revoked] = [
        one
        for one in map(json.loads, mesh.layout.identity_register.read_text().splitlines())
        if (one["kind"], one.get("sha256")) == ("revoked", thief.sha256)
    ]
    recorded_ns = datetime.fromisoformat(revoked["time"]).timestamp() * 1e9
    last_ns = max(int(str(row["time"])) for row in served)
    assert last_ns < recorded_ns + BUSY_MS * 1e6


def _has(asked: list[tuple[float, int | str]], count: int) -> Callable[[], Awaitable[bool]]:
    async def _enough() -> bool:
        return len(asked) >= count

    return _enough


async def test_an_open_tcp_connection_of_a_revoked_caller_is_closed_and_no_other(
    mesh: Running, tmp_path: Path
) -> None:
    thief, clean = (stolen_svid(mesh.layout, "front", tmp_path) for _ in range(2))
    async with thief.line(*store(mesh)) as open_line, clean.line(*store(mesh)) as clean_line:
        assert await open_line.say(b"abc") == await clean_line.say(b"abc") == b"ABC"
        await revoke(mesh, thief.pem)
        assert await open_line.say(b"abc") == b""
        assert await clean_line.say(b"def") == b"DEF"
    assert await thief.get_anew(*store(mesh)) == REFUSED

    async def _recorded() -> bool:
        return bool(await mesh.rows(rule="containment:certificate", protocol="tcp", denied=True))

    await eventually(_recorded, what="the cut connection is recorded with its rule")


async def test_a_caller_whose_own_certificate_is_revoked_gets_another_and_fails_nothing(
    mesh: Running,
) -> None:
    before = await current(mesh, "front")
    async with steady_load(mesh.layout.proxy("front")) as load:
        await load.reached(50)
        revoked = await revoke(mesh, "front")
        await load.reached(100)
    assert before in {one["sha256"] for one in revoked["certificates"]}
    assert revoked["replaced"] == ["front"]
    assert await current(mesh, "front") != before
    assert set(load.statuses) == {200}


async def test_a_callee_whose_own_certificate_is_revoked_gets_another_and_fails_nothing(
    mesh: Running,
) -> None:
    before = await current(mesh, "back")
    async with steady_load(mesh.layout.proxy("front")) as load:
        await load.reached(50)
        await revoke(mesh, before)
        await load.reached(100)
    assert await current(mesh, "back") != before
    assert set(load.statuses) == {200}


@pytest.mark.parametrize("service", ["front", "back"])
async def test_a_certificate_that_its_service_has_renewed_is_revoked_and_no_call_fails(
    mesh: Running, service: str
) -> None:
    before = await current(mesh, service)
    async with steady_load(mesh.layout.proxy("front")) as load:
        await load.reached(50)
        await ask(mesh, "POST", "/v1/identity/rotate", {"service": service})
        revoked = await revoke(mesh, before)
        await load.reached(100)
    assert revoked["replaced"] == []
    assert set(load.statuses) == {200}


async def test_a_callee_that_is_not_to_go_on_gets_no_calls_until_it_is_restored(
    mesh: Running,
) -> None:
    revoked = await revoke(mesh, "back", replace=False)
    assert revoked["withheld"] == ["back"]
    async with mesh.client("front") as client:
        assert (await client.get("http://back/v1/ping")).status_code == 503
        await ask(mesh, "POST", "/v1/identity/rotate", {"service": "back"})
        assert (await client.get("http://back/v1/ping")).status_code == 200


async def test_a_connection_to_a_callee_that_is_revoked_is_closed(mesh: Running) -> None:
    reader, writer = await asyncio.open_connection(*to_store(mesh))
    line = Line(reader=reader, writer=writer)
    assert await line.say(b"abc") == b"ABC"
    await revoke(mesh, "store")
    assert await line.say(b"abc") == b""
    writer.close()
    reader, writer = await asyncio.open_connection(*to_store(mesh))
    assert await Line(reader=reader, writer=writer).say(b"abc") == b"ABC"
    writer.close()


async def test_a_killed_control_plane_comes_back_with_every_revocation(
    mesh: Running, tmp_path: Path
) -> None:
    thief, clean = (stolen_svid(mesh.layout, "front", tmp_path) for _ in range(2))
    async with (
        steady_load(mesh.layout.proxy("front")) as load,
        thief.line(*back(mesh)) as open_line,
        clean.line(*back(mesh)) as clean_line,
    ):
        assert await open_line.get() == 200
        await revoke(mesh, thief.pem)
        pid = mesh.supervisor.pids[CONTROL_PLANE]
        os.kill(pid, signal.SIGKILL)
        await refused(thief, open_line, back(mesh))

        async def _again() -> bool:
            if mesh.supervisor.pids.get(CONTROL_PLANE) in {None, pid}:
                return False
            try:
                status = (await mesh.api("GET", "/v1/status")).json()
            except httpx.HTTPError:
                return False
            return all(one["connected"] and not one["pending"] for one in status["sidecars"])

        await eventually(_again, within_s=60, what="the control plane is back")
        await refused(thief, open_line, back(mesh))
        assert await clean_line.get() == 200
        await load.reached(50)
    assert set(load.statuses) == {200}


async def test_a_withheld_service_stays_withheld_when_the_control_plane_is_killed(
    mesh: Running,
) -> None:
    await revoke(mesh, "stranger", replace=False)
    pid = mesh.supervisor.pids[CONTROL_PLANE]
    os.kill(pid, signal.SIGKILL)

    async def _again() -> bool:
        try:
            found = await ask(mesh, "GET", "/v1/identity")
        except httpx.HTTPError:
            return False
        return mesh.supervisor.pids.get(CONTROL_PLANE) != pid and bool(found["withheld"])

    await eventually(_again, within_s=60, what="the control plane is back")
    found = await ask(mesh, "GET", "/v1/identity")
    of_stranger = [one for one in found["certificates"] if one["instance"] == "stranger"]
    assert {one["status"] for one in of_stranger} == {"revoked"}
    await ask(mesh, "POST", "/v1/identity/rotate", {"service": "stranger"})
    assert await current(mesh, "stranger")


@pytest.mark.parametrize("root", [False, True])
async def test_rotation_under_load_fails_nothing_and_keeps_revocations(
    mesh: Running, tmp_path: Path, root: bool
) -> None:
    await mesh.settled()
    early, clean = (stolen_svid(mesh.layout, "front", tmp_path) for _ in range(2))
    before = (await ask(mesh, "GET", "/v1/identity"))["authorities"][0]
    async with (
        steady_load(mesh.layout.proxy("front")) as load,
        early.line(*back(mesh)) as early_line,
    ):
        rotating = asyncio.create_task(ask(mesh, "POST", "/v1/identity/rotate", {"root": root}))
        await revoke(mesh, early.pem)  # in the middle
        done = await rotating
        assert done["step"] == "retiring"
        await refused(early, early_line, back(mesh))
        assert await clean.get_anew(*back(mesh)) == 200  # signed by the old authority
        late = stolen_svid(mesh.layout, "front", tmp_path)  # signed by the new one
        async with late.line(*back(mesh)) as late_line:
            assert await late_line.get() == 200
            await revoke(mesh, late.pem)
            await refused(late, late_line, back(mesh))
        await load.reached(100)
    assert set(load.statuses) == {200}
    after = (await ask(mesh, "GET", "/v1/identity"))["authorities"]
    assert after[0]["issuer"] != before["issuer"]
    assert (after[0]["root"] != before["root"]) is root
    assert before["issuer"] in {one["issuer"] for one in after if one["role"] == "retired"}


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ({}, "request.target"),
        ({"target": "nobody"}, "identity.unknown_certificate"),
        ({"target": 5}, "request.field"),
        ({"target": "front", "replace": "no"}, "request.field"),
        ({"target": "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----"}, "identity.pem"),
        ([], "request.json"),
    ],
)
async def test_what_cannot_be_revoked_is_refused_in_one_line(
    mesh: Running, body: object, title: str
) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(mesh.layout.api_socket))
    async with httpx.AsyncClient(transport=transport, timeout=40) as client:
        answer = await client.post("http://api/v1/identity/revoke", json=body)
    assert answer.status_code == 422
    assert answer.json()["title"] == title


async def test_a_session_from_before_a_revocation_is_not_resumed(
    mesh: Running, tmp_path: Path
) -> None:
    thief = stolen_svid(mesh.layout, "front", tmp_path)

    def _connect(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        with (
            socket.create_connection(back(mesh), 30) as raw,
            thief.context.wrap_socket(raw, session=session) as line,
        ):
            line.sendall(b"GET /v1/ping HTTP/1.1\r\nhost: back\r\n\r\n")
            line.recv(65536)  # a ticket, were there one, comes before the answer
            return bool(line.session_reused), line.session

    _, session = await asyncio.to_thread(_connect, None)
    reused, _ = await asyncio.to_thread(_connect, session)
    assert not reused
    await revoke(mesh, thief.pem)
    with pytest.raises(OSError, match=r"(?i)revoked|alert|reset|EOF|broken"):
        await asyncio.to_thread(_connect, session)
