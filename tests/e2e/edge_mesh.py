"""A mesh with an edge that decides itself: customers -> gate -> middle -> vault.

The gate and the middle know nothing of tokens but to pass one on; the vault's rules demand them.
"""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.e2e.identity_provider import AUDIENCE, Provider
from tests.e2e.small_mesh import DOMAIN, POLICY, Running, running_mesh

SERVICES = """\
  gate: {{{{command: ["{{python}}", -I, -S, "{{services}}/relay.py"], socket: true, edge: {edge}}}}}
  middle: {{{{command: ["{{python}}", -I, -S, "{{services}}/relay.py"], socket: true}}}}
  vault: {{{{command: ["{{python}}", -I, -S, "{{services}}/echo.py"], socket: true}}}}
"""
TLS = "{{{{port: {port}, certificate: edge.pem, key: edge.key}}}}"
MORE_POLICY = f"""\
  gate:
    identity: {DOMAIN}/gate
    edge: true
  middle:
    identity: {DOMAIN}/middle
    accepts:
      - from: [gate]
        token: {{scopes: [items:read]}}
  vault:
    identity: {DOMAIN}/vault
    accepts:
      - from: [middle]
        paths: ["/v1/strong/{{id}}"]
        token: {{scopes: [items:read], acr: mfa}}
      - from: [middle]
        paths: ["/v1/plain/{{id}}"]
        token: {{scopes: [items:read]}}
      - from: [middle]
        paths: ["/v1/once/{{id}}"]
        token: {{scopes: [items:read], once: true}}
      - from: [middle]
        paths: ["/v1/never/{{id}}"]
        token: {{scopes: [items:read, vault:open], acr: mfa}}
  token-service:
    identity: {DOMAIN}/token-service
    tier: 0
"""
TOKENS = """\
apiVersion: meshwarden.dev/v1
issuer: https://token-service.test.example
assurance: [pwd, mfa]
context: [req_ip, ja4]
issuers:
  - {{issuer: "{issuer}", audience: "{audience}", keys_max_age_s: 30}}
scopes:
  items:read: {{}}
  transfer:write: {{acr: mfa, max_age_s: 900}}
  vault:open: {{}}
clients:
  gate: {{scopes: [items:read, transfer:write], exchange: true}}
edge:
  gate:
    open: ["/public/**"]
    routes:
      - {{methods: [GET], paths: ["/v1/items/{{id}}"], scopes: [items:read]}}
      - {{methods: [POST], paths: [/v1/transfers], scopes: [transfer:write], body: [amount_minor, payee]}}
      - {{methods: [GET], paths: [/v1/search], scopes: [items:read], query: [payee]}}
      - {{paths: ["/to/**"], scopes: [items:read]}}
risk: {{step_up: {step_up}, deny: 12}}
"""


@dataclass(kw_only=True)
class EdgeMesh:
    """The running mesh, and its edge."""

    mesh: Running
    provider: Provider
    port: int
    trusted: ssl.SSLContext | None = None

    def tokens(self, *, step_up: float = 6) -> str:
        return TOKENS.format(issuer=self.provider.issuer, audience=AUDIENCE, step_up=step_up)

    async def ask(
        self,
        path: str,
        *,
        token: str | None = None,
        method: str = "GET",
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        body: object = None,
    ) -> httpx.Response:
        sent = list(headers.items() if isinstance(headers, dict) else headers or [])
        if token is not None:
            sent.append(("authorization", f"Bearer {token}"))
        verify = self.trusted or False
        async with httpx.AsyncClient(trust_env=False, timeout=40, verify=verify) as client:
            scheme = "https" if self.trusted else "http"
            url = f"{scheme}://127.0.0.1:{self.port}{path}"
            return await client.request(method, url, headers=sent, json=body)

    async def admin(self, method: str, path: str, body: object = None) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self.mesh.layout.api_socket))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            return await client.request(method, f"http://api{path}", json=body)


@contextlib.asynccontextmanager
async def edge_mesh(
    directory: Path,
    provider: Provider,
    *,
    isolated: bool = False,
    trusted: ssl.SSLContext | None = None,
) -> AsyncIterator[EdgeMesh]:
    """Run the mesh below `directory` while the context lasts.

    With `trusted`, what verifies `edge.pem` there, the edge shows that certificate.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = TOKENS.format(issuer=provider.issuer, audience=AUDIENCE, step_up=6)
    (directory / "tokens.yaml").write_text(text)
    async with running_mesh(
        directory,
        policy=POLICY + MORE_POLICY,
        services=SERVICES.format(edge=TLS.format(port=port) if trusted else port),
        more="tokens: {policy: tokens.yaml}\n",
        isolated=isolated,
    ) as mesh:
        await mesh.settled()
        yield EdgeMesh(mesh=mesh, provider=provider, port=port, trusted=trusted)
