"""One real Envoy and the discovery server in this process: what is pushed, refused, swapped."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import pytest
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from google.protobuf.message import Message
from tests.e2e.small_mesh import eventually

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.envoy import ads
from meshwarden.adapters.envoy.bootstrap import envoy_command, render_bootstrap
from meshwarden.adapters.envoy.delta import Acknowledgement
from meshwarden.adapters.envoy.model import Callee, Endpoint, Filters, Sidecar, TcpInbound
from meshwarden.adapters.envoy.snapshot import build_snapshot
from meshwarden.adapters.envoy.tls import packed, svid_secret
from meshwarden.adapters.yaml import parse_document
from meshwarden.identity import Authority, Svid, create_authority, create_root, issue_svid
from meshwarden.kernel import SpiffeId
from meshwarden.policy import parse_policy
from meshwarden.policy.targets.envoy import compile_http_filter, compile_network_filter

pytestmark = pytest.mark.e2e
HOST, NODE = "127.77.66.5", "front"


def filters_allowing(path: str) -> Filters:
    """Return front's filters when back may GET `path`, connect to 5432, and nothing else."""
    text = f"""
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  front:
    identity: spiffe://test.example/front
    accepts:
      - {{from: [back], methods: [GET], paths: [{path}]}}
      - {{from: [back], tcp: 5432}}
  back: {{identity: spiffe://test.example/back}}
"""
    policy = parse_policy(parse_document(text.encode(), name="p"))
    return Filters(
        http=compile_http_filter(policy, "front"),
        tcp={5432: compile_network_filter(policy, "front", 5432)},
    )


@dataclass(kw_only=True)
class World:
    """An authority, a discovery server, one Envoy, and a service behind it."""

    authority: Authority
    server: ads.DiscoveryServer
    answers: list[Acknowledgement]
    directory: Path
    sidecar: Sidecar
    greeted: int = 0

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Be a service of connections that speaks first."""
        self.greeted += 1
        with contextlib.suppress(ConnectionError):
            writer.write(b"welcome")
            await reader.read()
        writer.close()

    def svid(self, name: str) -> Svid:
        identity = SpiffeId.parse(f"spiffe://test.example/{name}")
        serial = SystemChance().serial()
        return issue_svid(self.authority, identity, now=datetime.now(UTC), serial=serial)

    def client_context(self, name: str) -> ssl.SSLContext:
        svid = self.svid(name)
        pem = self.directory / f"{name}.pem"
        pem.write_text(svid.private_key.reveal() + svid.certificate_chain)
        context = ssl.create_default_context(cadata=self.authority.bundle.pem)
        context.check_hostname = False
        context.load_cert_chain(pem)
        return context

    def publish(self, filters: Filters) -> None:
        svid = self.svid(NODE)
        secret = svid_secret(svid.certificate_chain, svid.private_key.reveal())
        snapshot = build_snapshot(
            self.sidecar, filters, svid=secret, bundle=self.authority.bundle.pem
        )
        self.server.publish(NODE, snapshot)

    async def settled(self) -> list[Acknowledgement]:
        async with asyncio.timeout(45):
            return await self.server.settled(NODE)

    def swap(self, message: Message) -> None:
        """Push another filter in place of the policy's, and nothing else."""
        config = TypedExtensionConfig(name="authorization", typed_config=packed(message))
        self.server.update(NODE, ads.FILTERS, "authorization", config)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    now = datetime.now(UTC)
    root = create_root("test.example", now=now, serial=SystemChance().serial())
    authority = create_authority(root, now=now, serial=SystemChance().serial())
    app = tmp_path / "app.sock"
    answers: list[Acknowledgement] = []
    world = World(
        authority=authority,
        server=ads.DiscoveryServer(answers.append),
        answers=answers,
        directory=tmp_path,
        sidecar=Sidecar(
            service=NODE,
            identity=SpiffeId.parse("spiffe://test.example/front"),
            inbound=Endpoint(address=HOST, port=15443),
            outbound=Endpoint(address=HOST, port=15001),
            edge=None,
            application=Endpoint(address=str(app)),
            tcp=(
                TcpInbound(
                    port=5432,
                    callers=(SpiffeId.parse("spiffe://test.example/back"),),
                    listen=Endpoint(address=HOST, port=25432),
                    application=Endpoint(address=str(tmp_path / "tcp.sock")),
                ),
            ),
            callees=(
                Callee(
                    service="back",
                    identity=SpiffeId.parse("spiffe://test.example/back"),
                    endpoints=(Endpoint(address=HOST, port=15999),),
                ),
            ),
            outside=(),
            access_log=tmp_path / "access.log",
        ),
    )
    world.publish(filters_allowing("/a"))
    await world.server.open(NODE, tmp_path / "xds.sock")
    service = await asyncio.start_unix_server(_serve, str(app))
    greeter = await asyncio.start_unix_server(world.greet, str(tmp_path / "tcp.sock"))
    try:
        async with service, greeter, _envoy(tmp_path):
            assert await world.settled() == []
            yield world
    finally:
        await world.server.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    writer.close()


@contextlib.asynccontextmanager
async def _envoy(directory: Path) -> AsyncIterator[None]:
    bootstrap = directory / "envoy.json"
    bootstrap.write_text(
        json.dumps(
            render_bootstrap(
                node=NODE, xds_socket=directory / "xds.sock", admin_socket=directory / "admin.sock"
            )
        )
    )
    with (directory / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *envoy_command(bootstrap), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def statuses(*paths: str, client: httpx.AsyncClient) -> list[int]:
    return [(await client.get(f"https://{HOST}:15443{path}")).status_code for path in paths]


async def test_a_filter_is_swapped_on_an_open_connection_that_stays_open(world: World) -> None:
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    context = world.client_context("back")
    async with httpx.AsyncClient(
        verify=context, limits=limits, trust_env=False, timeout=40
    ) as client:
        for path, other in (("/b", "/a"), ("/a", "/b")) * 5:
            world.swap(filters_allowing(path).http)
            assert await world.settled() == []
            assert await statuses(path, other, client=client) == [200, 403]
    handshakes = {
        json.loads(line).get("remote")
        for line in (world.directory / "access.log").read_text().splitlines()
        if line and json.loads(line)["kind"] == "inbound"
    }
    assert len(handshakes) == 1


async def test_a_refused_filter_leaves_the_last_good_one_in_force_and_names_itself(
    world: World,
) -> None:
    world.swap(Router())  # a filter of a type that this place does not take
    [refusal] = await world.settled()
    assert (refusal.node, refusal.name) == (NODE, "authorization")
    assert refusal.error
    async with httpx.AsyncClient(
        verify=world.client_context("back"), trust_env=False, timeout=40
    ) as client:
        assert await statuses("/a", "/b", client=client) == [200, 403]
        world.swap(filters_allowing("/b").http)
        assert await world.settled() == []
        assert await statuses("/a", "/b", client=client) == [403, 200]


async def test_a_proxy_that_claims_to_be_another_node_is_cut_off(world: World) -> None:
    async with grpc.aio.insecure_channel(f"unix:{world.directory / 'xds.sock'}") as channel:
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        request = DeltaDiscoveryRequest(type_url=ads.SECRETS, resource_names_subscribe=["svid"])
        request.node.id = "back"
        stream = stub.DeltaAggregatedResources()
        await stream.write(request)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await anext(aiter(stream))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_what_a_proxy_says_it_holds_is_kept_only_of_what_is_published(world: World) -> None:
    await world.settled()
    before = {(answer.type_url, answer.name) for answer in world.server.answers(NODE)}
    assert (ads.SECRETS, "svid") in before
    async with grpc.aio.insecure_channel(f"unix:{world.directory / 'xds.sock'}") as channel:
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        for number in range(3):
            request = DeltaDiscoveryRequest(type_url=ads.SECRETS, resource_names_subscribe=["svid"])
            for made_up in range(1000):
                request.initial_resource_versions[f"{number}/{made_up}"] = "x"
            stream = stub.DeltaAggregatedResources()
            await stream.write(request)
            await anext(aiter(stream))
            stream.cancel()
    assert {(answer.type_url, answer.name) for answer in world.server.answers(NODE)} == before


@pytest.mark.parametrize(("presents", "status"), [("back", 200), ("stranger", 503)])
async def test_a_callee_must_prove_the_one_identity_that_was_meant(
    world: World, presents: str, status: int
) -> None:
    svid = world.svid(presents)
    pem = world.directory / "callee.pem"
    pem.write_text(svid.private_key.reveal() + svid.certificate_chain)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=world.authority.bundle.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pem)
    server = await asyncio.start_server(_serve, HOST, 15999, ssl=context)
    async with (
        server,
        httpx.AsyncClient(proxy=f"http://{HOST}:15001", trust_env=False) as client,
    ):
        assert (await client.get("http://back/")).status_code == status


async def test_a_withdrawn_callee_is_no_longer_routed_to(world: World) -> None:
    world.sidecar = Sidecar(
        **{
            field: getattr(world.sidecar, field)
            for field in world.sidecar.__dataclass_fields__
            if field != "callees"
        },
        callees=(),
    )
    world.publish(filters_allowing("/a"))

    async def _refused() -> bool:
        async with httpx.AsyncClient(proxy=f"http://{HOST}:15001", trust_env=False) as client:
            return (await client.get("http://back/")).status_code == 403

    await eventually(_refused, what="the route is gone")


async def hear(world: World, caller: str | None) -> bytes:
    """Connect to the port of connections and listen, saying nothing."""
    context = world.client_context(caller) if caller else None
    reader, writer = await asyncio.open_connection(HOST, 25432, ssl=context)
    try:
        async with asyncio.timeout(40):
            return await reader.read(7)
    except OSError:  # a refused handshake is seen with the first read of TLS 1.3
        return b""
    finally:
        writer.transport.abort()


async def test_a_service_that_speaks_first_is_heard_by_whom_a_rule_allows_and_nobody_else(
    world: World,
) -> None:
    assert await hear(world, "back") == b"welcome"
    assert await hear(world, "stranger") == b""
    assert world.greeted == 1


async def test_a_connection_without_a_certificate_never_reaches_the_service(world: World) -> None:
    reader, writer = await asyncio.open_connection(HOST, 25432)
    writer.write(b"not TLS at all")
    answer = await reader.read()
    writer.close()
    assert b"welcome" not in answer
    assert world.greeted == 0
