"""The small mesh with a token service: the front exchanges, the back replaces."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.identity_provider import AUDIENCE, Provider
from tests.e2e.small_mesh import DOMAIN, POLICY, Running, running_mesh
from tests.e2e.thief import stolen_svid

TOKEN_SERVICE = f"""\
  token-service:
    identity: {DOMAIN}/token-service
    tier: 0
    accepts:
      - from: [front, back, stranger]
        methods: [POST]
        paths: [/token]
      - from: [front, back]
        methods: [GET]
        paths: [/jwks, /.well-known/oauth-authorization-server]
      - from: [front]
        paths: ["/ssf/**", /.well-known/ssf-configuration]
"""
TOKENS = """\
apiVersion: meshwarden.dev/v1
issuer: https://token-service.test.example
assurance: [pwd, mfa]
issuers:
  - {{issuer: "{issuer}", audience: "{audience}", keys_max_age_s: 30}}
scopes:
  items:read: {{}}
  transfer:write: {{acr: mfa, max_age_s: 900}}
  report:run: {{}}
clients:
  front: {{scopes: [items:read, transfer:write], exchange: true}}
  back: {{scopes: [items:read, report:run], replace: true, own: [report:run]}}
  stranger: {{scopes: [items:read], replace: true}}
risk: {{step_up: 6, deny: 12}}
"""
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
TXN = "urn:ietf:params:oauth:token-type:txn_token"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


@dataclass(kw_only=True)
class TokenMesh:
    """A running mesh whose token service knows `provider`."""

    mesh: Running
    provider: Provider

    @property
    def token_service(self) -> str:
        address = self.mesh.layout.address("token-service")
        return f"https://{address.host}:{address.port}"

    def certificate(self, service: str, directory: Path) -> ssl.SSLContext:
        """Return what a client needs to authenticate as `service` by itself."""
        return stolen_svid(self.mesh.layout, service, directory).context

    async def ask(self, service: str, **changes: str | None) -> httpx.Response:
        """Ask for a token from where `service` stands, through its own sidecar."""
        async with self.mesh.client(service) as client:
            return await client.post("http://token-service/token", data=form(**changes))

    async def issued(self, service: str = "front", **changes: str | None) -> dict[str, Any]:
        changes = {"subject_token": self.provider.token(), **changes}
        answer = await self.ask(service, **changes)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def admin(self, method: str, path: str, body: object = None) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self.mesh.layout.api_socket))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            return await client.request(method, f"http://api{path}", json=body)


def form(**changes: str | None) -> dict[str, str]:
    fields: dict[str, str | None] = {
        "grant_type": GRANT, "requested_token_type": TXN, "audience": "test.example",
        "scope": "items:read", "subject_token_type": ACCESS,
        "request_context": '{"req_ip": "203.0.113.9"}',
    }  # fmt: skip
    return {k: v for k, v in (fields | changes).items() if v is not None}


@contextlib.asynccontextmanager
async def token_mesh(
    directory: Path, provider: Provider, *, rules: str = ""
) -> AsyncIterator[TokenMesh]:
    """Run the mesh below `directory` while the context lasts; `rules` are more ones of the back."""
    text = TOKENS.format(issuer=provider.issuer, audience=AUDIENCE)
    (directory / "tokens.yaml").write_text(text)
    policy = POLICY.replace("  store:\n", f"{rules}  store:\n", 1) + TOKEN_SERVICE
    more = "tokens: {policy: tokens.yaml}\n"
    async with running_mesh(directory, policy=policy, more=more) as mesh:
        await mesh.settled()
        yield TokenMesh(mesh=mesh, provider=provider)
