"""A mesh small enough for tests: a front that may call a back and a store, a stranger that may not.

`running_mesh` starts the real thing (supervisor, control plane, Envoys, services) on a directory of
its own. The test stands where a service stands: it sends to that service's own sidecar.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.yaml import load_document
from meshwarden.control.layout import Layout, outbound_tcp_ports
from meshwarden.control.mesh import Mesh, check_against, parse_mesh
from meshwarden.control.supervision import Event, Supervisor
from meshwarden.control.supervision.isolation import lay_out
from meshwarden.control.supervision.wiring import wire
from meshwarden.kernel import CALL_SCHEMA
from meshwarden.policy import parse_policy

SERVICES = Path(__file__).parent / "services"
DOMAIN = "spiffe://test.example"
POLICY = f"""\
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  front:
    identity: {DOMAIN}/front
    egress:
      - {{host: listed.example, port: 80}}
  back:
    identity: {DOMAIN}/back
    accepts:
      - from: [front]
        methods: [GET]
        paths: ["/v1/items/{{id}}", /v1/ping]
  store:
    identity: {DOMAIN}/store
    accepts:
      - {{from: [front], tcp: 5432}}
  stranger:
    identity: {DOMAIN}/stranger
"""
MESH = """\
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  front: {{command: ["{python}", -I, -S, "{services}/echo.py"], socket: true}}
  back: {{command: ["{python}", -I, -S, "{services}/echo.py"], socket: true, health: /healthz}}
  store: {{command: ["{python}", -I, -S, "{services}/echo_tcp.py"], socket: true}}
  stranger: {{command: ["{python}", -I, -S, "{services}/echo.py"], socket: true}}
{services_more}outside:
  listed.example: "{outside}"
{more}
"""


@dataclass(kw_only=True)
class Running:
    """A running small mesh."""

    directory: Path
    mesh: Mesh
    layout: Layout
    supervisor: Supervisor
    lines: list[str]
    events: list[Event] = field(default_factory=list)

    def identity(self, name: str) -> str:
        return f"{DOMAIN}/{name}"

    def client(self, service: str, **options: Any) -> httpx.AsyncClient:
        """Return an HTTP client that stands where `service` stands."""
        proxy = f"http://{self.layout.proxy(service)}"
        return httpx.AsyncClient(proxy=proxy, trust_env=False, timeout=30, **options)

    def tcp(self, caller: str, callee: str, port: int) -> tuple[str, int]:
        """Return where `caller` connects to reach a tcp port of `callee`, its only one."""
        return self.layout.host(caller), outbound_tcp_ports([(callee, port)])[callee, port]

    async def api(self, method: str, path: str) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self.layout.api_socket))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            return await client.request(method, f"http://api{path}")

    async def write_policy(self, text: str) -> httpx.Response:
        """Replace the policy file and have it pushed."""
        (self.directory / "access.yaml").write_text(text)
        return await self.api("POST", "/v1/policy/reload")

    async def settled(self, *, within_s: float = 60) -> None:
        """Return once every sidecar is connected and has answered all that is published."""

        async def _done() -> bool:
            status = (await self.api("GET", "/v1/status")).json()
            return all(each["connected"] and not each["pending"] for each in status["sidecars"])

        await eventually(_done, within_s=within_s, what="all sidecars up to date")

    async def calls(self) -> pa.Table:
        """Return all calls recorded by now."""
        response = await self.api("POST", "/v1/calls/flush")
        assert response.status_code == 200, response.text
        found = await asyncio.to_thread(load_calls, [self.layout.calls_dir])
        assert found.rejected == {}
        return found.table

    async def rows(self, **wanted: object) -> list[dict[str, object]]:
        """Return the recorded calls whose columns have the values wanted."""
        return rows_of(await self.calls(), **wanted)


def rows_of(table: pa.Table, **wanted: object) -> list[dict[str, object]]:
    """Return the rows whose columns have the values wanted; times and durations in nanoseconds."""
    plain = [pa.int64() if name in {"time", "duration"} else None for name in CALL_SCHEMA.names]
    columns = {
        name: (table[name].cast(kind) if kind else table[name]).to_pylist()
        for name, kind in zip(CALL_SCHEMA.names, plain, strict=True)
    }
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def write_mesh(
    directory: Path,
    *,
    policy: str = POLICY,
    outside: str = "127.0.0.1:9",
    services: str = "",
    more: str = "",
) -> Path:
    """Write the small mesh's files below `directory`; return the mesh file.

    Args:
        directory: where to.
        policy: the access policy.
        outside: address of `listed.example`.
        services: lines of further services; `{python}` and `{services}` are filled in.
        more: further top-level keys.
    """
    directory.chmod(0o755)  # isolated services are started in it, by users of their own
    (directory / "access.yaml").write_text(policy)
    mesh_file = directory / "mesh.yaml"
    places = {"python": sys.executable, "services": SERVICES}
    mesh_file.write_text(
        MESH.format(**places, outside=outside, services_more=services.format(**places), more=more)
    )
    return mesh_file


@contextlib.asynccontextmanager
async def running_mesh(
    directory: Path,
    *,
    policy: str = POLICY,
    outside: str = "127.0.0.1:9",
    services: str = "",
    more: str = "",
    isolated: bool = False,
) -> AsyncIterator[Running]:
    """Run the small mesh below `directory` while the context lasts; arguments as `write_mesh`."""
    mesh_file = write_mesh(directory, policy=policy, outside=outside, services=services, more=more)
    mesh = parse_mesh(load_document(mesh_file), directory)
    parsed = parse_policy(load_document(mesh.policy_path))
    check_against(mesh, parsed)
    layout = lay_out(mesh, directory / "s", isolated=isolated)
    lines: list[str] = []
    events: list[Event] = []
    supervisor = Supervisor(
        mesh,
        layout,
        wire(mesh_file, mesh, parsed, layout),
        environment=os.environ,
        on_line=lambda name, line: lines.append(f"{name} | {line}"),
        on_event=events.append,
    )
    async with supervisor:
        yield Running(
            directory=directory,
            mesh=mesh,
            layout=layout,
            supervisor=supervisor,
            lines=lines,
            events=events,
        )


async def eventually(
    condition: Callable[[], Awaitable[bool]], *, within_s: float = 45.0, what: str = "condition"
) -> None:
    """Return once `condition` holds; fail after `within_s`."""
    try:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {what}") from None
