"""Our services call a partner's: it has to prove to be the one that the policy names."""

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding
from tests.e2e.isolated_mesh import free_ports
from tests.e2e.mesh_process import run
from tests.e2e.small_mesh import DOMAIN, POLICY, Running, running_mesh, write_mesh
from tests.e2e.test_federation import ENDPOINT, PARTNER, Partner, credentials, unconstrained

from meshwarden.adapters.storage.authority import load_or_create_authority
from meshwarden.identity import Authority, render_bundle

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]
API = f"spiffe://{PARTNER}/api"
HOST = "api.partner.example"
PORT = 8443
EGRESS = f"""\
    egress:
      - {{host: {HOST}, port: {PORT}, identity: {API}}}
"""


@dataclass(kw_only=True)
class World:
    """Our mesh, and a partner whose service can be made to show any certificate."""

    mesh: Running
    partner: Authority
    port: int

    @contextlib.asynccontextmanager
    async def showing(self, pem: Path) -> AsyncIterator[None]:
        """Have the partner's service answer with these credentials, to who shows one of ours."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.verify_mode = ssl.CERT_REQUIRED
        [root] = self.own().bundle.certificates
        context.load_verify_locations(cadata=root.public_bytes(Encoding.PEM).decode())
        server = await asyncio.start_server(answer, "127.0.0.1", self.port, ssl=context)
        async with server:
            yield

    def own(self) -> Authority:
        return load_or_create_authority(
            self.mesh.layout.authority_dir, "test.example", now=datetime.now(UTC)
        )

    def credentials(self, authority: Authority, identity: str) -> Path:
        return credentials(authority, identity, self.mesh.directory)

    async def call(self) -> tuple[int, str]:
        """Return status and body of a request of `front` to the partner's service."""
        async with self.mesh.client("front") as client:
            answered = await client.get(f"http://{HOST}:{PORT}/")
        return answered.status_code, answered.text


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request with the identity that the caller proved."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        shown = writer.get_extra_info("peercert")["subjectAltName"]
        body = dict(shown)["URI"].encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        await writer.drain()
    writer.close()


def federation(partner: Partner, port: int) -> str:
    return f"""\
  {HOST}: "127.0.0.1:{port}"
federation:
  - trust_domain: {PARTNER}
    url: {partner.url}
    profile: https_spiffe
    endpoint_identity: {ENDPOINT}
    bundle: partner.json
"""


def policy() -> str:
    listed = "    egress:\n      - {host: listed.example, port: 80}\n"
    assert listed in POLICY
    return POLICY.replace(listed, EGRESS)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["loopback", "isolated"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    isolated = request.param == "isolated"
    if isolated and os.geteuid() != 0:
        pytest.skip("only root can isolate")
    directory = tmp_path_factory.mktemp("f")
    port, endpoint = free_ports(2)
    partner = Partner(authority=unconstrained(PARTNER), port=endpoint)
    (directory / "partner.json").write_text(json.dumps(render_bundle(partner.bundle())))
    more = federation(partner, port)
    async with (
        partner.publishing(),
        running_mesh(directory, policy=policy(), more=more, isolated=isolated) as mesh,
    ):
        await mesh.settled()
        yield World(mesh=mesh, partner=partner.authority, port=port)


async def test_a_partner_that_proves_to_be_the_one_is_called_under_mutual_tls(
    world: World,
) -> None:
    if world.mesh.layout.isolated:
        pytest.skip("its clear port is in its own network; see the next test")
    async with world.showing(world.credentials(world.partner, API)):
        assert await world.call() == (200, f"{DOMAIN}/front")
    assert await world.mesh.rows(destination=f"external:{HOST}", denied=False)


async def test_a_program_that_knows_no_proxy_is_carried_there(world: World) -> None:
    if not world.mesh.layout.isolated:
        pytest.skip("without a network of its own nothing carries it")
    async with world.showing(world.credentials(world.partner, API)):
        assert await in_front(world) == f"{DOMAIN}/front"
    async with world.showing(world.credentials(world.partner, f"spiffe://{PARTNER}/other")):
        assert await in_front(world) == ""


async def in_front(world: World) -> str:
    """Return the body of a request that is sent right from the network of `front`."""
    pid = world.mesh.supervisor.pids["front"]
    curl = ["curl", "-s", "--noproxy", "*", "--max-time", "20", f"http://{HOST}:{PORT}/"]
    process = await asyncio.create_subprocess_exec(
        "nsenter", "-t", str(pid), "-n", "-m", *curl, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said.decode()


async def test_whoever_does_not_prove_it_is_not_called(world: World) -> None:
    if world.mesh.layout.isolated:
        pytest.skip("see above")
    forged = unconstrained(PARTNER)
    for authority, identity in (
        (world.partner, f"spiffe://{PARTNER}/other"),
        (world.partner, "spiffe://test.example/back"),
        (forged, API),
        (world.own(), API),
    ):
        async with world.showing(world.credentials(authority, identity)):
            assert (await world.call())[0] == 503


async def test_an_identity_of_a_domain_that_is_not_federated_is_refused_at_the_start(
    tmp_path: Path,
) -> None:
    mesh_file = write_mesh(tmp_path, policy=policy(), more=f'  {HOST}: "127.0.0.1:9"')
    status, [line] = await run("up", str(mesh_file), "--state", str(tmp_path / "s"), "--loopback")
    assert status == 2
    assert f"{PARTNER} is not federated" in line
