"""An edge that ends TLS itself: the user's certificate, JA4 as a sign of the device."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.e2e.edge_mesh import EdgeMesh, edge_mesh
from tests.e2e.identity_provider import identity_provider
from tests.e2e.policy_support import Authority
from tests.e2e.small_mesh import eventually
from tests.e2e.test_edge import headers_seen
from tests.e2e.test_token_exchange import claims_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def show(authority: Authority, directory: Path) -> None:
    """Have the edge show a new certificate."""
    for file, name in zip(
        authority.issue("https://bank.test"), ("edge.pem", "edge.key"), strict=True
    ):
        (directory / name).write_bytes(file.read_bytes())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> AsyncIterator[EdgeMesh]:
    directory = tmp_path_factory.mktemp("t")
    show(authority, directory)
    trusted = ssl.create_default_context(cafile=str(authority.certificate))
    trusted.check_hostname = False
    async with (
        identity_provider() as provider,
        edge_mesh(directory, provider, trusted=trusted) as running,
    ):

        async def _keys_are_known() -> bool:
            return (await running.ask("/v1/items/1", token=provider.token())).status_code == 200

        await eventually(_keys_are_known, what="the provider's keys at the edge")
        yield running


async def test_the_handshake_is_fingerprinted_and_nobody_can_claim_another(
    world: EdgeMesh,
) -> None:
    forged = {"x-meshwarden-ja4": "t13d1516h2_8daaf6152771_b186095e22b6"}
    answer = await world.ask("/v1/items/1", token=world.provider.token(), headers=forged)
    seen = dict(headers_seen(answer))
    ja4 = claims_of(seen["txn-token"])["rctx"]["ja4"]
    assert ja4.startswith("t13")
    assert len(ja4.split("_")) == 3
    assert ja4 != forged["x-meshwarden-ja4"]
    assert "x-meshwarden-ja4" not in seen
    open_page = await world.ask("/public/page", headers=forged)
    assert "x-meshwarden-ja4" not in dict(headers_seen(open_page))


async def test_plain_http_is_refused(world: EdgeMesh) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(b"GET /public/page HTTP/1.1\r\nhost: x\r\n\r\n")
    assert await reader.read() == b""
    writer.close()


async def test_a_renewed_certificate_is_shown_without_a_dropped_connection(
    world: EdgeMesh, authority: Authority
) -> None:
    async def _connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", world.port, ssl=world.trusted)

    async def _serial() -> str:
        _, writer = await _connect()
        found = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
        writer.close()
        return str(found)

    before = await _serial()
    reader, writer = await _connect()
    show(authority, world.mesh.directory)

    async def _renewed() -> bool:
        return await _serial() != before

    await eventually(_renewed, what="the renewed certificate")
    writer.write(b"GET /public/page HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_files_that_are_no_pair_leave_the_last_good_certificate(world: EdgeMesh) -> None:
    key = world.mesh.directory / "edge.key"
    before = key.read_bytes()
    key.write_text("no key")

    async def _found() -> bool:
        findings = world.mesh.layout.findings
        if not await asyncio.to_thread(findings.exists):
            return False  # written with the first finding
        text = await asyncio.to_thread(findings.read_text)
        return any(json.loads(line)["code"] == "edge.certificate" for line in text.splitlines())

    await eventually(_found, what="a finding about the files")
    assert (await world.ask("/public/page")).status_code == 200
    key.write_bytes(before)
