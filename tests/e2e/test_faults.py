"""Faults under load: what is killed comes back, what was sent is recorded, each request once."""

import asyncio
import contextlib
import os
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
from tests.e2e.mesh_process import Up, nothing_left, up
from tests.e2e.small_mesh import (
    DOMAIN,
    POLICY,
    Running,
    eventually,
    rows_of,
    running_mesh,
    write_mesh,
)
from tests.e2e.steady_load import WORKERS, recorded, steady_load

from meshwarden.adapters.envoy.admin import failed_log_writes
from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.control.layout import CONTROL_PLANE, sidecar_name
from meshwarden.control.supervision import EventKind

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
DROPPED = r"^http\.inbound\.downstream_cx_destroy$"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_mesh(tmp_path_factory.mktemp("m")) as running:
        yield running


async def kill(mesh: Running, name: str) -> None:
    """Kill one process of the mesh and return once its successor serves."""
    healthy = _count(mesh, EventKind.HEALTHY, name)
    os.kill(mesh.supervisor.pids[name], signal.SIGKILL)

    async def _back() -> bool:
        return _count(mesh, EventKind.HEALTHY, name) > healthy

    await eventually(_back, within_s=90, what=f"{name} is healthy again")


def _count(mesh: Running, kind: EventKind, name: str) -> int:
    return sum((event.kind, event.name) == (kind, name) for event in mesh.events)


async def stats(mesh: Running, service: str, pattern: str) -> dict[str, int]:
    """Return the counters of a sidecar whose names match."""
    transport = httpx.AsyncHTTPTransport(uds=str(mesh.layout.admin_socket(service)))
    async with httpx.AsyncClient(transport=transport) as client:
        answer = await client.get("http://admin/stats", params={"filter": pattern})
    pairs = (line.split(": ") for line in answer.text.splitlines())
    return {name: int(value) for name, value in pairs}


async def pushes(mesh: Running, service: str) -> dict[str, int]:
    """Return how often a sidecar took each kind of configuration; its own SVID aside."""
    found = await stats(mesh, service, r"(update_success|config_reload|listener_modified)$")
    found.pop("sds.svid.update_success")
    assert found["listener_manager.lds.update_success"] > 0
    return found


async def whole_record(mesh: Running, *, since_ns: int) -> Counter[int]:
    """Return how often each request to back since then is recorded, once nothing waits."""

    async def _nothing_waits() -> bool:
        await mesh.api("POST", "/v1/calls/flush")
        return bool((await mesh.api("GET", "/v1/status")).json()["calls"]["held"] == 0)

    await eventually(_nothing_waits, within_s=60, what="no report waits for the other side")
    return recorded(
        await mesh.rows(source=mesh.identity("front"), destination=mesh.identity("back")),
        since_ns=since_ns,
    )


async def test_control_plane_killed_again_and_again_costs_no_request_and_no_record(
    mesh: Running,
) -> None:
    chance = np.random.default_rng(7)
    started = time.time_ns()
    await mesh.settled()
    pushed = {name: await pushes(mesh, name) for name in mesh.mesh.services}
    async with steady_load(mesh.layout.proxy("front")) as load:
        await load.reached(50)
        for requests in chance.integers(1, 100, size=3):
            await kill(mesh, CONTROL_PLANE)
            await load.reached(int(requests))
        await mesh.settled()
        await load.reached(50)
    assert load.statuses == {200: len(load.answers)}
    assert load.connections == WORKERS
    # Versions are digests of what is sent: a successor sends nothing that a sidecar has already.
    assert {name: await pushes(mesh, name) for name in mesh.mesh.services} == pushed
    assert await whole_record(mesh, since_ns=started) == Counter(load.answers.keys())
    assert await asyncio.to_thread(failed_log_writes, mesh.layout.admin_socket("back")) == 0


async def test_killed_sidecar_of_the_callee_costs_503_meanwhile_and_no_record(
    mesh: Running,
) -> None:
    started = time.time_ns()
    async with steady_load(mesh.layout.proxy("front")) as load:
        for _ in range(3):
            await load.reached(50)
            await kill(mesh, sidecar_name("back"))
        await load.reached(50)
    assert set(load.statuses) <= {200, 503}
    assert await whole_record(mesh, since_ns=started) == Counter(load.answers.keys())


async def test_killed_sidecar_of_the_caller_cuts_off_its_service_alone(mesh: Running) -> None:
    started = time.time_ns()
    async with steady_load(mesh.layout.proxy("front")) as load:
        for _ in range(3):
            await load.reached(50)
            await kill(mesh, sidecar_name("front"))
        await load.reached(50)
    found = await whole_record(mesh, since_ns=started)
    assert set(found.values()) == {1}
    # Each answer passed the callee's sidecar, which reported it; of requests without an answer some
    # never got there.
    assert load.answered <= set(found) <= set(load.answers)
    assert set(load.statuses) <= {200, 503, None}


async def test_killed_service_costs_503_until_it_is_back(mesh: Running) -> None:
    started = time.time_ns()
    async with steady_load(mesh.layout.proxy("front")) as load:
        for _ in range(3):
            await load.reached(50)
            await kill(mesh, "back")
        await load.reached(50)
    assert set(load.statuses) == {200, 503}
    assert await whole_record(mesh, since_ns=started) == Counter(load.answers.keys())


def record_of(up: Up, *, since_ns: int = 0) -> Counter[int]:
    """Return how often each request to back is on disk."""
    found = load_calls([up.layout.calls_dir])
    assert found.rejected == {}
    rows = rows_of(found.table, source=f"{DOMAIN}/front", destination=f"{DOMAIN}/back")
    return recorded(rows, since_ns=since_ns)


STORE_RULE = "      - {from: [front], tcp: 5432}\n"
CHANGES = [
    POLICY.replace(f"{DOMAIN}/back", f"{DOMAIN}/ns/new/back"),
    POLICY.replace(STORE_RULE, STORE_RULE + STORE_RULE.replace("5432", "1521")),
    POLICY.replace("listed.example, port: 80", "another.example, port: 443"),
    POLICY.replace("/stranger\n", f"/stranger\n    accepts:\n{STORE_RULE}"),
    POLICY.replace(f"    accepts:\n{STORE_RULE}", ""),
    POLICY,
]


@pytest.mark.parametrize("pause", [True, False], ids=["one by one", "all at once"])
async def test_policy_changes_of_all_kinds_are_taken_by_every_sidecar_in_seconds(
    mesh: Running, *, pause: bool
) -> None:
    async with mesh.client("front") as client:
        for text in CHANGES:
            assert text is POLICY or text != POLICY
            assert (await mesh.write_policy(text)).status_code == 200
            if pause or text is POLICY:
                # Less than the 15 s after which Envoy goes on without what it waits for.
                await mesh.settled(within_s=12)
                assert (await client.get("http://back/v1/ping")).status_code == 200
    status = (await mesh.api("GET", "/v1/status")).json()
    assert [sidecar["refused"] for sidecar in status["sidecars"]] == [{}] * 4
    assert [sidecar["not_enforced"] for sidecar in status["sidecars"]] == [[]] * 4
    assert not await _found(mesh, "policy.not_enforced")


async def test_a_policy_file_that_is_broken_changes_nothing_until_it_is_mended(
    mesh: Running,
) -> None:
    async with mesh.client("front") as client:

        async def _answers(path: str, status: int) -> bool:
            return (await client.get(f"http://back{path}")).status_code == status

        mesh.mesh.policy_path.write_text("services: [\n")
        await eventually(lambda: _found(mesh, "policy.refused"), what="a finding")
        assert await _answers("/v1/ping", 200)
        mesh.mesh.policy_path.write_text(POLICY.replace("/v1/ping", "/v1/pong"))
        await eventually(lambda: _answers("/v1/pong", 200), what="the mended policy is in force")
        assert await _answers("/v1/ping", 403)
        assert (await mesh.write_policy(POLICY)).status_code == 200
        await mesh.settled()
        await eventually(lambda: _answers("/v1/ping", 200), what="the first policy again")


async def _found(mesh: Running, code: str) -> bool:
    return any(each.code == code for each in FileFindingStore(mesh.layout.findings).load_findings())


async def test_killed_supervisor_takes_all_along_and_the_next_goes_on_from_its_record(
    tmp_path: Path,
) -> None:
    mesh_file, state = write_mesh(tmp_path), tmp_path / "s"
    async with up(mesh_file, state) as first:
        async with steady_load(first.layout.proxy("front")) as load:
            await load.reached(200)
            first.process.kill()
            await first.end()
            load.end()
        await nothing_left(tmp_path)
    started = time.time_ns()
    async with (
        up(mesh_file, state) as second,
        steady_load(second.layout.proxy("front")) as more,
    ):
        await more.reached(50)
    assert await second.end() == 0
    await nothing_left(tmp_path)
    after = record_of(second, since_ns=started)
    assert after == Counter(more.answers.keys())
    before = record_of(second) - after
    assert set(before.values()) == {1}
    # The answers of the last milliseconds can be missing: both sidecars died before they wrote.
    assert len(load.answered - set(before)) <= WORKERS


@pytest.mark.parametrize("everyone", [False, True], ids=["up alone", "every process"])
async def test_sigterm_under_load_stops_cleanly_with_a_whole_record(
    tmp_path: Path, *, everyone: bool
) -> None:
    mesh_file = write_mesh(tmp_path)
    async with (
        up(mesh_file, tmp_path / "s") as running,
        steady_load(running.layout.proxy("front")) as load,
    ):
        await load.reached(100)
        # Of what the callee's sidecar could not report, the caller's report must not wait.
        os.kill(running.sidecar("back"), signal.SIGKILL)
        await load.reached(5, status=503)
        for pid in running.pids if everyone else [running.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        code = await running.end()
        load.end()
    assert code == 0
    await nothing_left(tmp_path)
    assert not (tmp_path / "s" / "run").exists()
    found = record_of(running)
    assert set(found.values()) == {1}
    assert load.answered <= set(found)


GRPC_POLICY = f"""\
  books:
    identity: {DOMAIN}/books
    accepts:
      - {{from: [front], methods: [POST], paths: [/test.Echo/Say]}}
"""
GRPC_SERVICE = '  books: {{command: ["{python}", -I, "{services}/echo_grpc.py"], socket: true}}\n'


def policy_of_round(number: int) -> str:
    """Return the policy that opens `/v1/rounds/<number>` of back, and no other round."""
    text = POLICY.replace("/v1/ping]", f"/v1/ping, /v1/rounds/{number}]")
    return text + GRPC_POLICY


async def say(channel: grpc.aio.Channel, over: asyncio.Event) -> int:
    """Call books over HTTP/2 until `over`; return how often."""
    call = channel.unary_unary("/test.Echo/Say", bytes, bytes)
    said = 0
    while not over.is_set():
        assert await call(b"hello", timeout=40) == b"hello"
        said += 1
        await asyncio.sleep(0.01)
    return said


async def test_a_policy_change_every_moment_drops_no_connection_of_either_protocol(
    tmp_path: Path,
) -> None:
    async with running_mesh(tmp_path, policy=policy_of_round(0), services=GRPC_SERVICE) as mesh:
        target = mesh.layout.proxy("front")
        options = [("grpc.default_authority", "books"), ("grpc.enable_http_proxy", 0)]
        over = asyncio.Event()
        async with (
            grpc.aio.insecure_channel(str(target), options=options) as channel,
            steady_load(target) as load,
            mesh.client("front") as client,
        ):
            calling = asyncio.create_task(say(channel, over))
            await load.reached(20)
            dropped = await stats(mesh, "back", DROPPED)
            for number in range(1, 26):
                assert (await mesh.write_policy(policy_of_round(number))).status_code == 200
                await mesh.settled()
                new = await client.get(f"http://back/v1/rounds/{number}")
                old = await client.get(f"http://back/v1/rounds/{number - 1}")
                assert (new.status_code, old.status_code) == (200, 403)
            await load.reached(20)
            over.set()
            said = await calling
            assert await stats(mesh, "back", DROPPED) == dropped
            for service, counter in (("front", "outbound"), ("books", "inbound")):
                name = f"http.{counter}.downstream_cx_http2_total"
                assert await stats(mesh, service, name) == {name: 1}
    assert load.statuses == {200: len(load.answers)}
    assert load.connections == WORKERS
    assert said > 20


async def test_short_lived_certificates_are_renewed_under_load_without_a_failed_request(
    tmp_path: Path,
) -> None:
    async with running_mesh(tmp_path, more="authority: {svid_lifetime_s: 5}") as mesh:
        presented: set[bytes] = set()
        async with steady_load(mesh.layout.proxy("front")) as load:

            async def _several() -> bool:
                await balance(mesh)
                presented.add(await certificate_of(mesh, "back"))
                rows = await mesh.rows(protocol="tcp", source=mesh.identity("front"))
                shown = {row["source_certificate"] for row in rows}
                return len(shown) >= 4 and len(presented) >= 4

            await eventually(_several, within_s=90, what="four certificates at both ends")
        assert load.statuses == {200: len(load.answers)}
        assert load.connections == WORKERS


async def balance(mesh: Running) -> None:
    """Open a connection from front to store, which takes a handshake of its own, and use it."""
    reader, writer = await asyncio.open_connection(*mesh.tcp("front", "store", 5432))
    writer.write(b"balance")
    assert await reader.readexactly(7) == b"BALANCE"
    writer.close()
    await writer.wait_closed()


async def certificate_of(mesh: Running, service: str) -> bytes:
    """Return the certificate that a service's sidecar presents now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = mesh.layout.address(service)
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return bytes(found)
