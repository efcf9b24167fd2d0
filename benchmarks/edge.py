"""What the edge's decision adds to a request: risk, exchange, transaction token.

    python -m benchmarks.edge [--rounds 7] [--requests 400] [--connections 1 8]

One real mesh: an edge whose sidecar asks the authorizer (in the control plane), and a service that
answers at once. The same connections send requests to a route that is asked about, each with an
access token of its own, and to one that needs no login, by turns; the difference of their medians
in each round is what the decision adds. Printed is the median of the rounds, with the least and the
greatest. Sent one after the other on each connection (closed loop).
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.client import REPOSITORY
from benchmarks.machine import describe_machine
from meshwarden.adapters.yaml import load_document
from meshwarden.control.mesh import parse_mesh
from meshwarden.control.supervision import Supervisor
from meshwarden.control.supervision.isolation import lay_out
from meshwarden.control.supervision.wiring import wire
from meshwarden.policy import parse_policy
from meshwarden.tokens import SigningKey, create_key, render_jwks
from meshwarden.tokens.jws import sign_compact

TARGET_MS: Final = 3.0
AUDIENCE: Final = "https://api.bench.example"
SUBJECTS: Final = 500
POLICY: Final = """\
apiVersion: meshwarden.dev/v1
trust_domain: bench.example
services:
  gate: {identity: spiffe://bench.example/gate, edge: true}
  token-service: {identity: spiffe://bench.example/token-service}
"""
MESH: Final = """\
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  gate:
    command: ["{python}", -m, benchmarks.answering, "{app}"]
    directory: "{repository}"
    socket: true
    edge: {edge}
tokens: {{policy: tokens.yaml}}
"""
TOKENS: Final = """\
apiVersion: meshwarden.dev/v1
issuer: https://token-service.bench.example
assurance: [pwd, mfa]
issuers:
  - {{issuer: "{issuer}", audience: "{audience}", jwks_url: "{issuer}/jwks"}}
scopes:
  items:read: {{}}
clients:
  gate: {{scopes: [items:read], exchange: true}}
edge:
  gate:
    open: [/open]
    routes: [{{paths: [/asked], scopes: [items:read]}}]
risk: {{step_up: 30, deny: 40}}
"""
_Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def main() -> int:
    """Run the benchmark and print its report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 8])
    options = parser.parse_args()
    machine = describe_machine()
    found = asyncio.run(measure(options.rounds, options.requests, options.connections))
    print(json.dumps({"machine": machine, "target_ms": TARGET_MS, "edge": found}, indent=1))
    return 0


async def measure(rounds: int, requests: int, connections: Sequence[int]) -> list[dict[str, Any]]:
    """Return a summary for each number of connections."""
    with tempfile.TemporaryDirectory(prefix="mw-") as name:
        async with provider() as (issuer, key), running(Path(name), issuer) as port:
            await first_answer(port, key, issuer)
            found = []
            for count in connections:
                done = [await one_round(port, key, issuer, requests, count) for _ in range(rounds)]
                found.append(summary(count, done))
            return found


@contextlib.asynccontextmanager
async def provider() -> AsyncIterator[tuple[str, SigningKey]]:
    """Serve an identity provider's keys; yield its name and the key."""
    key = create_key(datetime.now(UTC))
    body = render_jwks([key.public]).encode()
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", key


@contextlib.asynccontextmanager
async def running(directory: Path, issuer: str) -> AsyncIterator[int]:
    """Run the mesh below `directory`; yield the edge's port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        edge = free.getsockname()[1]
    (directory / "access.yaml").write_text(POLICY)
    (directory / "tokens.yaml").write_text(TOKENS.format(issuer=issuer, audience=AUDIENCE))
    app = directory / "s" / "run" / "gate" / "app" / "app.sock"
    text = MESH.format(python=sys.executable, app=app, repository=REPOSITORY, edge=edge)
    mesh_file = directory / "mesh.yaml"
    mesh_file.write_text(text)
    mesh = parse_mesh(load_document(mesh_file), directory)
    policy = parse_policy(load_document(mesh.policy_path))
    layout = lay_out(mesh, directory / "s", isolated=False)
    wiring = wire(mesh_file, mesh, policy, layout)
    async with Supervisor(mesh, layout, wiring, environment=os.environ):
        yield edge


async def first_answer(port: int, key: SigningKey, issuer: str) -> None:
    """Return once the edge lets somebody in."""
    line = await asyncio.open_connection("127.0.0.1", port)
    while not (await ask(line, asked(key, issuer, 0)))[0].startswith(b"HTTP/1.1 200"):  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # another program has no event to await
    line[1].close()


async def one_round(
    port: int, key: SigningKey, issuer: str, requests: int, connections: int
) -> dict[str, float]:
    """Return the medians of one round, in milliseconds, of both kinds, by turns of a few dozen."""
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    free = b"GET /open HTTP/1.1\r\nhost: gate\r\n\r\n"
    taken: dict[str, list[float]] = {"open": [], "asked": []}
    for turn in range(0, requests, 50):
        with_tokens = [asked(key, issuer, turn + number) for number in range(50)]
        for kind, wanted in (("open", [free] * 50), ("asked", with_tokens)):
            parts = [wanted[index::connections] for index in range(connections)]
            found = await asyncio.gather(*map(send, lines, parts))
            taken[kind] += [one for some in found for one in some]
    for _, writer in lines:
        writer.close()
    return {
        "open_p50": statistics.median(taken["open"]),
        "asked_p50": statistics.median(taken["asked"]),
        "asked_p99": statistics.quantiles(taken["asked"], n=100)[98],
        "added_p50": statistics.median(taken["asked"]) - statistics.median(taken["open"]),
    }


async def send(line: _Line, requests: Sequence[bytes]) -> list[float]:
    """Send requests one after the other; return how long each took, in milliseconds."""
    found = []
    for request in requests:
        head, seconds = await ask(line, request)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        found.append(seconds * 1000)
    return found


async def ask(line: _Line, request: bytes) -> tuple[bytes, float]:
    """Return the head of an answer, and after how many seconds all of it was there."""
    reader, writer = line
    begin = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))
    return head, time.perf_counter() - begin


def asked(key: SigningKey, issuer: str, number: int) -> bytes:
    """Return a request with an access token of its own."""
    now = int(time.time())
    claims = {
        "iss": issuer, "aud": AUDIENCE, "sub": f"customer-{number % SUBJECTS}",
        "client_id": "app", "jti": f"{time.time_ns()}", "iat": now, "exp": now + 600,
        "acr": "pwd", "auth_time": now, "sid": f"session-{number}", "scope": "items:read",
    }  # fmt: skip
    token = sign_compact(claims, key.jose, algorithm="ES256", kid=key.kid, typ="at+jwt")
    agent = "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0 Safari/537.36"
    return (
        f"GET /asked HTTP/1.1\r\nhost: gate\r\nuser-agent: {agent}\r\n"
        f"authorization: Bearer {token.reveal()}\r\n\r\n"
    ).encode()


def summary(connections: int, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Return median, least and greatest of each figure, in milliseconds."""
    return {
        "connections": connections,
        **{
            f"{name}_ms": {
                "median": round(statistics.median(one[name] for one in rounds), 3),
                "least": round(min(one[name] for one in rounds), 3),
                "greatest": round(max(one[name] for one in rounds), 3),
            }
            for name in rounds[0]
        },
    }


if __name__ == "__main__":
    sys.exit(main())
