"""The data plane as services see it: real Envoys, real sockets, real processes."""

import asyncio
import contextlib
import http.server
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.e2e.small_mesh import Running, running_mesh

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.storage.authority import load_or_create_authority
from meshwarden.control.layout import inbound_tcp_ports
from meshwarden.identity import issue_svid
from meshwarden.kernel import SpiffeId

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


class Outside(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "7")
        self.end_headers()
        self.wfile.write(b"outside")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def outside() -> Iterator[str]:
    """Serve what lies outside the mesh; its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Outside) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, outside: str) -> AsyncIterator[Running]:
    async with running_mesh(tmp_path_factory.mktemp("m"), outside=outside) as running:
        yield running


async def test_an_allowed_call_passes_both_sidecars_and_is_recorded_once(mesh: Running) -> None:
    async with mesh.client("front") as client:
        answer = await client.get("http://back/v1/items/42?token=secret")
    assert answer.status_code == 200
    seen = answer.json()
    assert seen["path"] == "/v1/items/42?token=secret"
    assert seen["headers"]["x-forwarded-client-cert"].endswith(f"URI={mesh.identity('front')}")
    [call] = await mesh.rows(route="/v1/items/{}", status=200)
    assert call["source"] == mesh.identity("front")
    assert call["destination"] == mesh.identity("back")
    assert (call["mtls"], call["denied"], call["method"]) == (True, False, "GET")
    assert call["rule"] == "back.accepts[0]"
    assert call["reporter"] == "destination"
    assert call["source_certificate"]
    log = mesh.layout.access_log("back").read_text()
    assert "secret" not in log


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/items/42"),
        ("GET", "/v1/items"),
        ("GET", "/v1/items/42/parts"),
        ("GET", "/v1/items/42/../../admin"),
        ("GET", "/v1/items/%2e%2e/admin"),
        ("GET", "/V1/ping"),
    ],
)
async def test_what_no_rule_allows_is_refused_by_the_callee(
    mesh: Running, method: str, path: str
) -> None:
    before = len(await mesh.rows(denied=True, destination=mesh.identity("back")))
    async with mesh.client("front") as client:
        answer = await client.request(method, httpx.URL("http://back", raw_path=path.encode()))
    assert answer.status_code == 403
    after = await mesh.rows(denied=True, destination=mesh.identity("back"))
    assert len(after) == before + 1
    assert after[-1]["source"] == mesh.identity("front")


async def test_an_encoded_slash_is_refused_before_any_rule(mesh: Running) -> None:
    async with mesh.client("front") as client:
        url = httpx.URL("http://back", raw_path=b"/v1/items/a%2fb")
        assert (await client.get(url)).status_code == 400


async def test_a_service_that_no_rule_names_cannot_even_leave_its_sidecar(mesh: Running) -> None:
    async with mesh.client("stranger") as client:
        answer = await client.get("http://back/v1/ping")
    assert answer.status_code == 403
    [call] = await mesh.rows(source=mesh.identity("stranger"))
    assert (call["denied"], call["reporter"]) == (True, "source")
    assert call["destination"] == mesh.identity("back")


async def test_a_caller_cannot_choose_the_id_that_joins_both_records(mesh: Running) -> None:
    headers = {"x-meshwarden-call": "chosen"}
    async with mesh.client("front") as client:
        answers = [await client.get("http://back/v1/ping", headers=headers) for _ in range(3)]
    ids = {answer.json()["headers"]["x-meshwarden-call"] for answer in answers}
    assert len(ids) == 3
    assert "chosen" not in ids


async def test_a_listed_outside_host_is_reached_plainly_and_by_connect(mesh: Running) -> None:
    async with mesh.client("front") as client:
        assert (await client.get("http://listed.example/x")).text == "outside"
    assert await _connect(mesh, "listed.example:80") == 200
    calls = await mesh.rows(destination="external:listed.example")
    assert {call["denied"] for call in calls} == {False}
    assert len(calls) == 2


async def test_an_outside_host_that_is_not_listed_is_refused(mesh: Running) -> None:
    async with mesh.client("front") as client:
        assert (await client.get("http://elsewhere.example/")).status_code == 403
        assert (await client.get("http://listed.example:81/")).status_code == 403
    assert await _connect(mesh, "elsewhere.example:443") == 403
    calls = await mesh.rows(destination="external:elsewhere.example")
    assert [call["rule"] for call in calls] == ["egress:not-listed"] * 2


async def test_connections_are_carried_to_the_port_that_a_rule_opens(mesh: Running) -> None:
    reader, writer = await asyncio.open_connection(*mesh.tcp("front", "store", 5432))
    writer.write(b"balance")
    assert await reader.readexactly(7) == b"BALANCE"
    writer.close()
    await writer.wait_closed()

    async def _recorded() -> list[dict[str, object]]:
        return await mesh.rows(protocol="tcp", destination=mesh.identity("store"))

    async with asyncio.timeout(40):
        while not (found := await _recorded()):
            await asyncio.sleep(0.05)
    [call] = found
    assert call["source"] == mesh.identity("front")
    assert (call["destination_port"], call["mtls"], call["denied"]) == (5432, True, False)
    assert (call["request_bytes"], call["response_bytes"]) == (7, 7)


async def test_the_status_shows_every_sidecar_connected_and_up_to_date(mesh: Running) -> None:
    status = (await mesh.api("GET", "/v1/status")).json()
    assert {sidecar["connected"] for sidecar in status["sidecars"]} == {True}
    assert [sidecar["pending"] for sidecar in status["sidecars"]] == [[]] * 4
    assert [sidecar["not_enforced"] for sidecar in status["sidecars"]] == [[]] * 4


async def _connect(mesh: Running, target: str) -> int:
    """Ask front's sidecar for a tunnel; return its status."""
    proxy = mesh.layout.proxy("front")
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    status = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(status.split()[1])


async def test_a_connection_that_no_rule_allows_is_refused_and_on_record(
    mesh: Running, tmp_path: Path
) -> None:
    context = stolen(mesh, "stranger", tmp_path)
    port = inbound_tcp_ports([5432])[5432]
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(mesh.layout.host("store"), port, ssl=context)
        writer.write(b"balance")
        assert await reader.read() == b""
        writer.close()
    [call] = await mesh.rows(destination=mesh.identity("store"), denied=True)
    assert (call["source"], call["claimed"]) == ("unknown", mesh.identity("stranger"))
    assert call["rule"] == "tls:not-allowed"


def stolen(mesh: Running, name: str, folder: Path) -> ssl.SSLContext:
    """Return a TLS client that holds a valid SVID of `name`."""
    now = datetime.now(UTC)
    authority = load_or_create_authority(mesh.layout.authority_dir, "test.example", now=now)
    identity = SpiffeId.parse(mesh.identity(name))
    svid = issue_svid(authority, identity, now=now, serial=SystemChance().serial())
    pem = folder / "stolen.pem"
    pem.write_text(svid.private_key.reveal() + svid.certificate_chain)
    context = ssl.create_default_context(cadata=authority.bundle.pem)
    context.check_hostname = False
    context.load_cert_chain(pem)
    return context
