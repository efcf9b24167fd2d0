"""An identity provider small enough for tests: discovery, keys, access tokens; it can be stopped."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from meshwarden.tokens import SigningKey, UnverifiedToken, create_key, render_jwks
from meshwarden.tokens.jws import sign_compact

AUDIENCE = "https://api.test.example"


@dataclass(kw_only=True)
class Provider:
    """A running provider."""

    issuer: str
    keys: list[SigningKey] = field(default_factory=lambda: [create_key(datetime.now(UTC))])
    fetched: int = 0

    def token(self, *, typ: str = "at+jwt", key: SigningKey | None = None, **changes: Any) -> str:
        """Return an access token, signed by the newest key."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer, "aud": AUDIENCE, "sub": "8f21", "client_id": "app", "jti": "j1",
            "iat": now, "exp": now + 600, "scope": "items:read transfer:write", "acr": "mfa",
            "auth_time": now - 60, "sid": "raw-session-77",
        }  # fmt: skip
        claims = {k: v for k, v in (claims | changes).items() if v is not None}
        key = key or self.keys[-1]
        signed: UnverifiedToken = sign_compact(
            claims, key.jose, algorithm="ES256", kid=key.kid, typ=typ
        )
        return signed.reveal()

    def rotate(self) -> None:
        """Sign with another key from now on, and publish both."""
        self.keys.append(create_key(datetime.now(UTC)))

    def document(self, path: str) -> str | None:
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks"})
        if path == "/jwks":
            self.fetched += 1
            return render_jwks([key.public for key in self.keys])
        return None


@contextlib.asynccontextmanager
async def identity_provider(port: int = 0) -> AsyncIterator[Provider]:
    """Run a provider on 127.0.0.1 while the context lasts."""
    provider = Provider(issuer="")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            body = provider.document(head.split(" ")[1])
            status, raw = ("404 Not Found", b"") if body is None else ("200 OK", body.encode())
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-length: {len(raw)}\r\nconnection: close\r\n\r\n".encode()
                + raw
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    provider.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield provider
