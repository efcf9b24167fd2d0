"""A partner's workloads come in where the mesh file says, also into networks of the services' own."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.e2e.isolated_mesh import free_ports
from tests.e2e.small_mesh import DOMAIN, POLICY, Running, eventually, running_mesh
from tests.e2e.test_federation import ENDPOINT, PARTNER, Partner, credentials, heard, unconstrained
from tests.e2e.thief import REFUSED, Holder, holder_of

from meshwarden.control.layout import FEDERATED_PORT, federated_tcp_ports
from meshwarden.identity import Authority, render_bundle

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]
SCRIPTS = str(Path(sys.executable).parent)
SHOP = f"spiffe://{PARTNER}/shop"
SERVED = f"""\
  rates:
    identity: {DOMAIN}/rates
    accepts:
      - {{from: ["{SHOP}"], methods: [GET], paths: [/v1/ping]}}
  queue:
    identity: {DOMAIN}/queue
    accepts:
      - {{from: ["{SHOP}"], tcp: 5672}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Our mesh, and where a partner's requests and connections arrive in it."""

    mesh: Running
    partner: Authority
    requests: tuple[str, int]
    connections: tuple[str, int]

    def holder(self, authority: Authority, identity: str) -> Holder:
        return holder_of(credentials(authority, identity, self.mesh.directory))


def programs(requests: int, connections: int) -> str:
    return f"""\
  rates:
    command: ["{{python}}", -I, -S, "{{services}}/echo.py"]
    socket: true
    partners: [{{{{listen: "127.0.0.1:{requests}"}}}}]
  queue:
    command: ["{{python}}", -I, -S, "{{services}}/echo_tcp.py"]
    socket: true
    partners: [{{{{listen: "127.0.0.1:{connections}", tcp: 5672}}}}]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["loopback", "isolated"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    isolated = request.param == "isolated"
    if isolated and os.geteuid() != 0:
        pytest.skip("only root can isolate")
    directory = tmp_path_factory.mktemp("f")
    requests, connections, endpoint = free_ports(3)
    partner = Partner(authority=unconstrained(PARTNER), port=endpoint)
    (directory / "partner.json").write_text(json.dumps(render_bundle(partner.bundle())))
    federation = f"""\
federation:
  - {{trust_domain: {PARTNER}, url: "{partner.url}", profile: https_spiffe,
      endpoint_identity: "{ENDPOINT}", bundle: partner.json}}
"""
    async with (
        partner.publishing(),
        running_mesh(
            directory,
            policy=POLICY + SERVED,
            services=programs(requests, connections),
            more=federation,
            isolated=isolated,
        ) as mesh,
    ):
        await mesh.settled()
        yield World(
            mesh=mesh,
            partner=partner.authority,
            requests=("127.0.0.1", requests),
            connections=("127.0.0.1", connections),
        )


async def test_a_partner_arrives_with_requests_and_connections_and_is_on_record(
    world: World,
) -> None:
    shop = world.holder(world.partner, SHOP)
    assert await shop.get_anew(*world.requests) == 200
    async with shop.line(*world.requests) as line:
        assert await line.get("/v1/other") == 403
    assert await heard(shop, world.connections) == b"ABC"
    called = await world.mesh.rows(source=SHOP, destination=f"{DOMAIN}/rates")
    assert {(row["denied"], row["mtls"]) for row in called} == {(False, True), (True, True)}

    async def _recorded() -> bool:
        found = await world.mesh.rows(source=SHOP, destination=f"{DOMAIN}/queue")
        return [row["denied"] for row in found] == [False]

    await eventually(_recorded, what="the connection is recorded once it is over")


@pytest.mark.parametrize("case", ["another workload", "our name", "another root"])
async def test_nobody_else_does(world: World, case: str) -> None:
    authority, identity = {
        "another workload": (world.partner, f"spiffe://{PARTNER}/other"),
        "our name": (world.partner, f"{DOMAIN}/front"),
        "another root": (unconstrained(PARTNER), SHOP),
    }[case]
    stranger = world.holder(authority, identity)
    assert await stranger.get_anew(*world.requests) in {403, REFUSED}
    assert await heard(stranger, world.connections) == b""


async def test_one_of_its_certificates_is_cut_off_where_it_comes_in(world: World) -> None:
    stolen, clean = (world.holder(world.partner, SHOP) for _ in range(2))
    pem = world.mesh.directory / f"{stolen.sha256}.crt"
    await asyncio.to_thread(pem.write_text, stolen.pem)
    async with stolen.line(*world.requests) as line, stolen.line(*world.connections) as octets:
        assert await line.get() == 200
        assert await octets.say(b"abc") == b"ABC"
        await revoke(world.mesh, pem)
        assert await line.get() == 403
        assert await octets.say(b"abc") == await heard(stolen, world.connections) == b""
    assert await clean.get_anew(*world.requests) == 200
    assert await heard(clean, world.connections) == b"ABC"


async def revoke(mesh: Running, pem: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "meshwarden", "identity", "revoke", str(pem), "--state", str(mesh.layout.state), "--json",
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PATH": SCRIPTS},
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    if json.loads(said)["pending"]:
        await mesh.settled()


async def test_there_is_no_other_way_in(world: World) -> None:
    """Some networks answer for every address: what counts is that our sidecars saw nothing."""
    shop = world.holder(world.partner, SHOP)
    before = len(await world.mesh.rows(claimed=SHOP))
    usual = [(world.mesh.layout.host("rates"), FEDERATED_PORT)]
    usual.append((world.mesh.layout.host("queue"), federated_tcp_ports([5672])[5672]))
    for address in usual:
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(2), shop.line(*address) as line:
                await line.get()
    assert await world.mesh.rows(source_certificate=shop.sha256) == []
    assert len(await world.mesh.rows(claimed=SHOP)) == before
