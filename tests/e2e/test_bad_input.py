"""Bad input, from users and on the sidecars' sockets: refused in one line, and nothing else happens."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from tests.e2e.mesh_process import nothing_left, run
from tests.e2e.small_mesh import DOMAIN, POLICY, Running, running_mesh, write_mesh

from meshwarden.adapters.envoy.ads import SECRETS
from meshwarden.adapters.storage.parts import CHECKPOINT
from meshwarden.adapters.yaml import load_document
from meshwarden.control.layout import layout_of
from meshwarden.control.mesh import parse_mesh

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_mesh(tmp_path_factory.mktemp("m")) as running:
        yield running


def asks(type_url: str, *names: str, node: str = "front") -> DeltaDiscoveryRequest:
    request = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
    request.node.id = node
    return request


async def exchange(stream: Any, request: DeltaDiscoveryRequest) -> None:
    await stream.write(request)
    async with asyncio.timeout(40):
        await anext(aiter(stream))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (asks(SECRETS, "svid", node="back"), grpc.StatusCode.PERMISSION_DENIED),
        (asks("type.googleapis.com/no.such.Type"), grpc.StatusCode.INVALID_ARGUMENT),
        (asks("x" * 100_000), grpc.StatusCode.INVALID_ARGUMENT),
        (asks(SECRETS, "n" * 1_000_000), grpc.StatusCode.INVALID_ARGUMENT),
        (asks(SECRETS, *map(str, range(30_000))), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (asks(SECRETS, "n" * 8_000_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["another node", "unknown type", "giant type", "giant name", "many names", "giant message"],
)
async def test_malformed_discovery_request_is_refused_and_the_server_goes_on(
    mesh: Running, request_: DeltaDiscoveryRequest, code: grpc.StatusCode
) -> None:
    before = mesh.supervisor.pids
    async with grpc.aio.insecure_channel(f"unix:{mesh.layout.xds_socket('front')}") as channel:
        stream = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await exchange(stream, request_)
    assert refused.value.code() is code
    await mesh.settled()
    assert mesh.supervisor.pids == before


async def test_octets_that_are_no_grpc_do_the_discovery_server_no_harm(mesh: Running) -> None:
    for octets in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 100_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff",
    ):
        reader, writer = await asyncio.open_unix_connection(mesh.layout.xds_socket("front"))
        writer.write(octets)
        writer.write_eof()
        with contextlib.suppress(OSError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()
    await mesh.settled()


def spoil_with_file(path: Path) -> None:
    path.write_text("not a directory")


def spoil_checkpoint(path: Path) -> None:
    path.mkdir()
    table = pa.table({"x": [1]}).replace_schema_metadata({CHECKPOINT: b"{}"})
    pq.write_table(table, path / "calls-000000000001-000000000001.parquet")


@pytest.mark.parametrize("verb", ["serve", "up"])
@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("ca", spoil_with_file),
        ("calls", spoil_with_file),
        ("calls", spoil_checkpoint),
        ("run", spoil_with_file),
        ("logs", spoil_with_file),
    ],
)
async def test_unusable_state_is_one_line_that_names_it_and_leaves_nothing_running(
    tmp_path: Path, verb: str, name: str, spoil: Callable[[Path], None]
) -> None:
    mesh_file, state = write_mesh(tmp_path), tmp_path / "s"
    state.mkdir(mode=0o700)
    spoil(state / name)
    code, said = await run(verb, str(mesh_file), "--state", str(state))
    assert code in {2, 3}
    assert str(state / name) in said[-1]
    assert said[-1].startswith("meshwarden: ")
    assert "Traceback" not in "".join(said)
    await nothing_left(tmp_path)
    assert not (state / "up.json").exists()


async def test_an_output_log_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    mesh_file, state = write_mesh(tmp_path), tmp_path / "s"
    (state / "logs" / "front.log").mkdir(parents=True)
    code, said = await run("up", str(mesh_file), "--state", str(state))
    assert code == 2
    assert f"{state / 'logs' / 'front.log'}: Is a directory" in said[-1]
    await nothing_left(tmp_path)


async def test_two_control_planes_do_not_share_a_state_directory(mesh: Running) -> None:
    mesh_file = mesh.directory / "mesh.yaml"
    code, said = await run("serve", str(mesh_file), "--state", str(mesh.layout.state))
    assert code == 3
    assert "written by another process" in said[-1]
    await mesh.settled()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f"identity: {DOMAIN}/back", f"identity: {DOMAIN}/front", "access.yaml:9"),
        (f"identity: {DOMAIN}/back", "identity: spiffe://other.example/back", "access.yaml:9"),
        (f"identity: {DOMAIN}/back", f"identity: {DOMAIN}/b%61ck", "access.yaml:9"),
        ("/v1/ping]", "/v1/../ping]", "access.yaml:13"),
        ("/v1/ping]", "ping]", "access.yaml:13"),
        ("from: [front]\n", "from: [frnt]\n", "access.yaml:11"),
    ],
    ids=["duplicate id", "foreign id", "invalid id", "dot segment", "no slash", "unknown name"],
)
async def test_bad_policy_starts_nothing_and_creates_nothing(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in POLICY
    mesh_file = write_mesh(tmp_path, policy=POLICY.replace(old, new))
    code, said = await run("up", str(mesh_file), "--state", str(tmp_path / "s"))
    assert code == 2
    assert says in said[-1]
    assert not (tmp_path / "s").exists()


async def test_a_service_that_never_gets_healthy_stops_all(tmp_path: Path) -> None:
    services = "  sleeper: {{command: [sleep, '600'], socket: true, start_timeout_s: 1}}\n"
    policy = f"{POLICY}  sleeper: {{identity: {DOMAIN}/sleeper}}\n"
    mesh_file = write_mesh(tmp_path, policy=policy, services=services)
    code, said = await run("up", str(mesh_file), "--state", str(tmp_path / "s"))
    assert code == 3
    assert "sleeper was not healthy after 1 s" in said[-1]
    await nothing_left(tmp_path)
    assert not (tmp_path / "s" / "run").exists()


async def test_a_port_of_a_sidecar_that_is_in_use_is_named(tmp_path: Path) -> None:
    mesh_file = write_mesh(tmp_path)
    mesh = parse_mesh(load_document(mesh_file), tmp_path)
    taken = layout_of(mesh, tmp_path / "s").proxy("front")
    with socket.create_server((taken.host, taken.port)):
        code, said = await run("up", str(mesh_file), "--state", str(tmp_path / "s"), "--loopback")
    assert code == 2
    assert f"{taken}, asked for by the sidecar of 'front', is in use" in said[-1]
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "--state", "/dev/null/s"], "/dev/null/s"),
        (["demo", "--seconds", "-1"], "seconds"),
        (["serve", "/dev/zero"], "/dev/zero"),
        (["dwonload"], "dwonload"),
    ],
)
async def test_bad_usage_is_one_line_and_exit_code_2(arguments: list[str], says: str) -> None:
    code, said = await run(*arguments)
    assert code == 2
    assert says.lower() in said[-1].lower()
    assert "Traceback" not in "".join(said)
