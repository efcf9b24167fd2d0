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
from meshwarden.tokens import create_key, render_jwks
from meshwarden.tokens.jws import sign_compact

pytestmark = pytest.mark.e2e
API = "type.googleapis.com/envoy.extensions.filters"
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


def verifier() -> dict[str, Any]:
    provider = {
        "issuer": "https://tokens.test.example", "audiences": ["test.example"],
        "local_jwks": {"inline_string": render_jwks([KEY.public])}, "forward": True,
        "from_headers": [{"name": "Txn-Token"}], "payload_in_metadata": "txn",
    }  # fmt: skip
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "txn"}}
    config = {
        "@type": f"{API}.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"txn": provider},
        "rules": [rule],
    }
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": config}


@contextlib.asynccontextmanager
async def hop(directory: Path, containment: Containment) -> AsyncIterator[httpx.AsyncClient]:
    """Run one Envoy with the filters in the order of an inbound listener."""
    socket = directory / "hop.sock"
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
    }
    router = {"name": "router", "typed_config": {"@type": f"{API}.http.router.v3.Router"}}
    manager = hcm.HttpConnectionManager()
    ParseDict(
        {
            "stat_prefix": "hop", "http_filters": [verifier()],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
        },
        manager,
    )  # fmt: skip
    manager.http_filters.append(peer_filter())
    resource = containment_resource(containment)
    manager.http_filters.add(name=CONTAINMENT, typed_config=resource.typed_config)
    ParseDict({"http_filters": [router]}, end := hcm.HttpConnectionManager())
    manager.http_filters.extend(end.http_filters)
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
