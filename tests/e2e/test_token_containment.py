"""Revoked sessions, subjects and transactions at one hop: a real Envoy that verifies tokens."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from google.protobuf.json_format import ParseDict
from tests.e2e.small_mesh import eventually

from meshwarden.adapters.envoy.bootstrap import find_envoy
from meshwarden.adapters.envoy.containment import (
    CONTAINMENT,
    Containment,
    containment_resource,
    peer_filter,
)
from meshwarden.adapters.envoy.tls import packed
from meshwarden.policy.targets.envoy.token_headers import FIELDS
from meshwarden.tokens import create_key, render_jwks
from meshwarden.tokens.jws import sign_compact

pytestmark = pytest.mark.e2e
KEY = create_key(datetime(2026, 1, 1, tzinfo=UTC))


def token(**changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": "https://tokens.test.example", "aud": "test.example", "iat": now, "exp": now + 300,
        "txn": "t-1", "sub": "u-1", "sid": "s-1", "scope": "items:read",
    }  # fmt: skip
    return sign_compact(
        claims | changes, KEY.jose, algorithm="ES256", kid=KEY.kid, typ="txntoken+jwt"
    ).reveal()


def verifier() -> hcm.HttpFilter:
    provider = {
        "issuer": "https://tokens.test.example", "audiences": ["test.example"],
        "local_jwks": {"inline_string": render_jwks([KEY.public])}, "forward": True,
        "from_headers": [{"name": "Txn-Token"}], **FIELDS,
    }  # fmt: skip
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "txn"}}
    config = ParseDict({"providers": {"txn": provider}, "rules": [rule]}, JwtAuthentication())
    return hcm.HttpFilter(name="envoy.filters.http.jwt_authn", typed_config=packed(config))


@contextlib.asynccontextmanager
async def hop(
    directory: Path, containment: Containment, verifies: hcm.HttpFilter | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Run one Envoy with the filters in the order of an inbound listener."""
    socket = directory / "hop.sock"
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
    }
    routes = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]}
    manager = hcm.HttpConnectionManager(stat_prefix="hop")
    ParseDict({"route_config": routes}, manager)
    resource = containment_resource(containment)
    manager.http_filters.extend(
        [
            verifies or verifier(),
            peer_filter(),
            hcm.HttpFilter(name=CONTAINMENT, typed_config=resource.typed_config),
            hcm.HttpFilter(name="router", typed_config=packed(Router())),
        ]
    )
    listener = Listener(name="hop")
    listener.address.pipe.path = str(socket)
    chain = listener.filter_chains.add()
    chain.filters.add(name="manager", typed_config=packed(manager))
    bootstrap = Bootstrap()
    bootstrap.static_resources.listeners.append(listener)
    (directory / "hop.pb").write_bytes(bootstrap.SerializeToString())
    process = await asyncio.create_subprocess_exec(
        str(find_envoy()), "-c", str(directory / "hop.pb"), "--concurrency", "1",
        "--disable-hot-restart", "--log-level", "error", "--use-dynamic-base-id",
    )  # fmt: skip

    async def there() -> bool:
        return await asyncio.to_thread(socket.exists)

    try:
        await eventually(there, within_s=30, what="the proxy listens")
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        async with httpx.AsyncClient(transport=transport, timeout=10) as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


async def test_only_what_is_revoked_is_refused(tmp_path: Path) -> None:
    contained = Containment(
        sessions=frozenset({"s-9"}), subjects=frozenset({"u-9"}), transactions=frozenset({"t-9"})
    )
    async with hop(tmp_path, contained) as client:

        async def status(**changes: Any) -> int:
            return (
                await client.get("http://hop/", headers={"Txn-Token": token(**changes)})
            ).status_code

        assert await status() == 200
        assert await status(sid="s-9") == 403
        assert await status(sub="u-9") == 403
        assert await status(txn="t-9") == 403
        assert await status(sid=None) == 200
        assert await status(sid="s-9x", sub="t-9", txn="u-9") == 200  # each claim for itself
        assert (await client.get("http://hop/")).status_code == 401
