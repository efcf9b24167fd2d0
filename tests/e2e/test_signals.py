"""Shared Signals of a running mesh: events in, with their effect; events out, verified."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from joserfc import jws
from joserfc.jwk import KeySet
from tests.e2e.identity_provider import identity_provider
from tests.e2e.token_mesh import TokenMesh, token_mesh

from meshwarden.tokens.jws import sign_compact

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
PUSH = "urn:ietf:rfc:8935"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TokenMesh]:
    async with (
        identity_provider() as provider,
        token_mesh(tmp_path_factory.mktemp("m"), provider) as running,
    ):
        yield running


def event(
    world: TokenMesh, sub_id: dict[str, Any], name: str = "session-revoked", **changes: Any
) -> str:
    now = int(time.time())
    details = changes.pop("details", {"event_timestamp": now})
    claims = {
        "iss": world.provider.issuer, "jti": "e1", "iat": now, "sub_id": sub_id,
        "aud": "https://token-service.test.example/ssf", "events": {CAEP + name: details},
    }  # fmt: skip
    key = world.provider.keys[-1]
    claims = {k: v for k, v in (claims | changes).items() if v is not None}
    return sign_compact(
        claims, key.jose, algorithm="ES256", kid=key.kid, typ="secevent+jwt"
    ).reveal()


async def push(world: TokenMesh, token: str) -> httpx.Response:
    async with world.mesh.client("front") as client:
        return await client.post(
            "http://token-service/ssf/events", content=token,
            headers={"content-type": "application/secevent+jwt"},
        )  # fmt: skip


def session(world: TokenMesh, sid: str) -> dict[str, Any]:
    user = {"format": "iss_sub", "iss": world.provider.issuer, "sub": "8f21"}
    return {"format": "complex", "user": user, "session": {"format": "opaque", "id": sid}}


async def test_a_revoked_session_gets_no_token_once_the_event_is_acknowledged(
    world: TokenMesh,
) -> None:
    token = world.provider.token(sid="s-1")
    await world.issued(subject_token=token)
    pushed = event(world, session(world, "s-1"))
    for _ in range(2):  # the same event again is acknowledged the same way
        assert (await push(world, pushed)).status_code == 202
    answer = await world.ask("front", subject_token=token)
    assert "session is revoked" in answer.json()["error_description"]
    await world.issued(subject_token=world.provider.token(sid="s-2"))


async def test_a_changed_credential_ends_what_the_user_proved_before(world: TokenMesh) -> None:
    before = world.provider.token(sub="u-9")
    user = {"format": "iss_sub", "iss": world.provider.issuer, "sub": "u-9"}
    details = {
        "credential_type": "password",
        "change_type": "update",
        "event_timestamp": int(time.time()),
    }
    pushed = event(world, user, "credential-change", details=details, jti="e2")
    assert (await push(world, pushed)).status_code == 202
    assert (await world.ask("front", subject_token=before)).status_code == 400


@pytest.mark.parametrize(
    ("changes", "err"),
    [
        ({"iss": "https://evil.example"}, "invalid_issuer"),
        ({"aud": "someone"}, "invalid_audience"),
        ({"exp": 1}, "invalid_request"),
        ({"sub": "x"}, "invalid_request"),
        ({"jti": None}, "invalid_request"),
        ({"events": {}}, "invalid_request"),
        ({"events": {"https://x/unknown": {}}}, "invalid_request"),
        ({"iat": 4_000_000_000}, "invalid_request"),
        ({"sub_id": {"format": "email", "email": "a@b"}}, "invalid_request"),
    ],
)
async def test_what_is_no_event_for_us_is_refused(
    world: TokenMesh, changes: dict[str, Any], err: str
) -> None:
    changes = {name: value() if callable(value) else value for name, value in changes.items()}
    answer = await push(world, event(world, changes.pop("sub_id", session(world, "x")), **changes))
    assert (answer.status_code, answer.json()["err"]) == (400, err)
    assert answer.headers["content-language"] == "en"


async def test_an_access_token_is_no_event(world: TokenMesh) -> None:
    assert (await push(world, world.provider.token())).json()["err"] == "invalid_request"
    forged = event(world, session(world, "x"))[:-6] + "AAAAAA"
    assert (await push(world, forged)).json()["err"] in {"invalid_key", "invalid_request"}


async def test_a_receiver_manages_its_stream_and_gets_what_is_revoked(world: TokenMesh) -> None:
    arrived: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
        await arrived.put((head, (await reader.readexactly(length)).decode()))
        writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
    base = "http://token-service"
    async with server, world.mesh.client("front") as client:
        found = (await client.get(f"{base}/.well-known/ssf-configuration")).json()
        assert found["spec_version"] == "1_0"
        delivery = {"method": PUSH, "endpoint_url": url, "authorization_header": "Bearer secret"}
        made = await client.post(
            f"{base}/ssf/stream",
            json={"delivery": delivery, "events_requested": [CAEP + "session-revoked"]},
        )
        assert made.status_code == 201
        assert "authorization_header" not in made.json()["delivery"]
        stream = {"stream_id": made.json()["stream_id"]}
        assert (
            await client.post(f"{base}/ssf/verify", json=stream | {"state": "hello"})
        ).status_code == 204
        assert (await client.post(f"{base}/ssf/verify", json=stream)).status_code == 429
        head, token = await asyncio.wait_for(arrived.get(), 30)
        assert "authorization: bearer secret" in head.lower()
        keys = KeySet.import_key_set((await client.get(f"{base}/ssf/jwks")).json())
        verified = jws.deserialize_compact(token, keys, algorithms=["RS256"])
        [details] = json.loads(verified.payload)["events"].values()
        assert details == {"state": "hello"}

        await world.admin("POST", "/v1/tokens/revoke", {"kind": "subject", "value": "u-77"})
        _, token = await asyncio.wait_for(arrived.get(), 30)
        claims = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
        assert claims["sub_id"] == {
            "format": "iss_sub",
            "iss": world.provider.issuer,
            "sub": "u-77",
        }
        assert not {"exp", "sub"} & set(claims)

        paused = await client.post(f"{base}/ssf/status", json=stream | {"status": "paused"})
        assert paused.json()["status"] == "paused"
        user = {"subject": {"format": "iss_sub", "iss": "x", "sub": "y"}}
        assert (
            await client.post(f"{base}/ssf/subjects:add", json=stream | user)
        ).status_code == 200
        assert (
            await client.post(f"{base}/ssf/subjects:remove", json=stream | user)
        ).status_code == 204
        assert (await client.delete(f"{base}/ssf/stream", params=stream)).status_code == 204
        assert (await client.get(f"{base}/ssf/stream", params=stream)).status_code == 404
