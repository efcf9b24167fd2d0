"""Runs the bank without a mesh: real processes, and a plain forward proxy that records calls."""

import asyncio
import base64
import os
import pwd
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.yaml import load_document, parse_document
from meshwarden.console.token_api import TokenApi
from meshwarden.console.unix import served
from meshwarden.control.plane.authorizing import Authorizer
from meshwarden.control.tokens.opening import open_tokens
from meshwarden.kernel import Call, SpiffeId
from meshwarden.lab.agreement import normalize_route
from meshwarden.lab.callgraph import CUSTOMERS
from meshwarden.lab.mesh import (
    ACCESS_POLICY,
    CARD_NETWORK_HOST,
    TOKEN_SERVICE,
    render_mesh,
    render_tokens,
)
from meshwarden.lab.synthesize import load_identities
from meshwarden.policy import PathPattern, parse_policy
from meshwarden.tokens import parse_token_policy
from meshwarden.tokens.challenge import Refusal
from meshwarden.tokens.edge import EdgeRequest, parse_body

CUSTOMERS_COUNT = 300
SEED = "e2e"
IDENTITIES = load_identities(ACCESS_POLICY)
PASSWORD = "a-password-for-tests-only"


@dataclass
class PlainBank:
    """The running bank: its edge, its sockets, and what was called."""

    directory: Path
    sockets: dict[str, Path] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    base_url: str = ""
    card_network_port: int = 0
    authorizer: Authorizer | None = None

    async def proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one request to the service that its URL names, record it, hang up."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            begin_ns = time.time_ns()
            (method, target, _), headers = parse_head(head)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            source = caller(headers.pop("proxy-authorization", ""))
            host, path = "gateway", target
            if not source:  # as the edge's sidecar says
                headers["x-forwarded-for"] = "127.0.0.1"
                refused = await self.enter(method, target, headers, body)
                if refused is not None:
                    writer.write(refused)
                    self.record(source, host, method, path, refused, len(body), begin_ns)
                    writer.close()
                    return
            if target.startswith("http://"):
                host, _, path = target.removeprefix("http://").partition("/")
                path = f"/{path}"
            if host == TOKEN_SERVICE:  # whom its sidecar would have seen
                headers["x-forwarded-client-cert"] = f"URI={IDENTITIES[source]}"
            lines = "".join(f"{k}: {v}\r\n" for k, v in (headers | {"connection": "close"}).items())
            far_reader, far_writer = await self.connect(host)
            far_writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
            answer = await far_reader.read(-1)
            far_writer.close()
            writer.write(answer)
            self.record(source, host, method, path, answer, len(body), begin_ns)
        writer.close()

    def record(
        self,
        source: str,
        host: str,
        method: str,
        path: str,
        answer: bytes,
        length: int,
        begin_ns: int,
    ) -> None:
        answer_head, _, answer_body = answer.partition(b"\r\n\r\n")
        self.calls.append(
            Call(
                time=begin_ns,
                source=IDENTITIES.get(source, CUSTOMERS),
                destination=IDENTITIES.get(host, f"external:{host}"),
                protocol="http",
                method=method,
                route=normalize_route(path),
                status=int(answer_head.split(b" ", 2)[1]),
                request_bytes=length,
                response_bytes=len(answer_body),
                duration=time.time_ns() - begin_ns,
                reporter="destination",
            )
        )

    async def enter(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> bytes | None:
        """Do as the edge's sidecar: let the request in with a token, or return the refusal."""
        assert self.authorizer is not None
        identity = SpiffeId.parse(IDENTITIES["gateway"])
        access = self.authorizer.service.policy.edges[identity]
        path = target.partition("?")[0]
        if any(PathPattern.parse(text).matches(path) for text in access.open):
            return None
        [route] = [
            one
            for one in access.routes
            if method in (one.methods or ())
            and any(PathPattern.parse(text).matches(path) for text in one.paths)
        ]
        details = parse_body(body, route.body)
        assert isinstance(details, dict)
        context = {"user_agent": headers.get("user-agent", ""), "req_ip": "127.0.0.1"}
        context["client_hints"] = headers.get("x-installation", "")
        bearer = headers.pop("authorization", None)
        asked = EdgeRequest(
            authorization=bearer, scopes=route.scopes, context=context, details=details
        )
        found = await self.authorizer.enter(asked, identity)
        if isinstance(found, Refusal):
            head = f"HTTP/1.1 {found.status} Refused\r\nwww-authenticate: {found.challenge}\r\n"
            return f"{head}content-length: {len(found.body)}\r\nconnection: close\r\n\r\n{found.body}".encode()
        headers["txn-token"] = found.token.reveal()
        return None

    async def connect(self, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if host == CARD_NETWORK_HOST:
            return await asyncio.open_connection("127.0.0.1", self.card_network_port)
        return await asyncio.open_unix_connection(self.sockets[host])

    async def database(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a connection on loopback with the database's socket."""
        try:
            far_reader, far_writer = await self.connect("ledger-db")
        except OSError:  # it is still starting
            writer.close()
            return
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    async def ask(self, service: str, path: str, body: object = None) -> httpx.Response:
        """Ask a service on its own socket: GET, or POST where there is a body."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.sockets[service]))
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            url = f"http://{service}{path}"
            return await client.get(url) if body is None else await client.post(url, json=body)


def parse_head(head: str) -> tuple[list[str], dict[str, str]]:
    lines = head.rstrip().split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    return lines[0].split(" "), {name.lower(): value.strip() for name, _, value in pairs}


def caller(authorization: str) -> str:
    return base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")[0]


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def running_bank(directory: Path, *, postgres: bool) -> AsyncIterator[PlainBank]:
    """Start what `mesh.yaml` names, in its order, and stop it in reverse."""
    bank = PlainBank(directory=directory)
    async with AsyncExitStack() as stack:
        proxy = await asyncio.start_server(bank.proxy, "127.0.0.1", 0)
        database = await asyncio.start_server(bank.database, "127.0.0.1", 0)
        for server in (proxy, database):
            stack.callback(server.close)
        bank.base_url = f"http://127.0.0.1:{port_of(proxy)}"
        bank.card_network_port = free_port()
        document = render_mesh(
            python=sys.executable,
            edge_port=port_of(proxy),
            card_network=f"127.0.0.1:{bank.card_network_port}",
            customers=CUSTOMERS_COUNT,
            seed=SEED,
            database_password=PASSWORD if postgres else None,
        )
        cardnetwork = [sys.executable, "-m", "meshwarden.lab.bank.cardnetwork"]
        await start(stack, [*cardnetwork, str(bank.card_network_port)], {}, user=None)
        for name, service in yaml.safe_load(document)["services"].items():
            home = directory / name
            home.mkdir(mode=0o700)
            user = None
            if name == "ledger-db" and os.geteuid() == 0:
                user = "postgres" if user_exists("postgres") else "nobody"
                shutil.chown(home, user)
            bank.sockets[name] = home / "app.sock"
            environment = {
                "MESHWARDEN_SOCKET": str(bank.sockets[name]),
                "HTTP_PROXY": f"http://{name}@127.0.0.1:{port_of(proxy)}",
                **service.get("environment", {}),
            }
            if postgres and name == "ledger":
                environment["MESHWARDEN_TCP_LEDGER_DB_5432"] = f"127.0.0.1:{port_of(database)}"
            await start(stack, service["command"], environment, user=user)
        await stack.enter_async_context(token_service(bank, port_of(proxy)))
        async with asyncio.timeout(120):
            for name in bank.sockets.keys() - {"ledger-db", TOKEN_SERVICE}:
                await healthy(bank, name)
        yield bank


@asynccontextmanager
async def token_service(bank: PlainBank, edge_port: int) -> AsyncIterator[None]:
    """Serve the bank's token policy; the identity provider's keys come over its own socket."""
    text = render_tokens(edge_port=edge_port).replace("/idp/jwks", "/jwks")
    policy = parse_token_policy(
        parse_document(text.encode(), name="tokens.yaml"),
        trust_domain="bank.example",
        services={name: SpiffeId.parse(identity) for name, identity in IDENTITIES.items()},
    )
    bank.sockets[TOKEN_SERVICE] = bank.directory / "tokens.sock"
    transport = httpx.AsyncHTTPTransport(uds=str(bank.sockets["idp"]))
    async with httpx.AsyncClient(transport=transport) as client:
        service = open_tokens(
            policy, bank.directory / "tokens.sqlite", clock=SystemClock(),
            draw=lambda: os.urandom(16).hex(), client=client, secret=os.urandom(32),
        )  # fmt: skip
        access = parse_policy(load_document(ACCESS_POLICY))
        bank.authorizer = Authorizer(service=service, policy=lambda: access)
        socket = bank.sockets[TOKEN_SERVICE]
        async with service.running(), served(TokenApi(service), socket, mode=0o600):
            yield


async def start(
    stack: AsyncExitStack, command: list[str], environment: dict[str, str], *, user: str | None
) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, env={"PATH": os.defpath, **environment}, user=user, group=user
    )

    async def stop() -> None:
        interrupt = signal.SIGINT if "ledger_db" in command[-1] else signal.SIGTERM
        with suppress(ProcessLookupError):  # a test ended it
            process.send_signal(interrupt)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()

    stack.push_async_callback(stop)


async def healthy(bank: PlainBank, name: str) -> None:
    while True:
        with suppress(httpx.HTTPError):
            if (await bank.ask(name, "/healthz")).status_code == 200:
                return
        await asyncio.sleep(0.05)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def user_exists(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())
