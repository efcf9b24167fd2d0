"""How long a change takes until every proxy enforces it, as a caller sees it.

    python -m benchmarks.propagation [--quick] [--rounds N] [--proxies N] [--json | --markdown]

Two changes, each from the call to the control plane's API until it is enforced:

- revocation: one stolen certificate. Enforced on a real Envoy means that a request on a connection
  that its holder had open before is refused;
- policy: an edit of the policy file that changes what every one of the services accepts, then
  `POST /v1/policy/reload`. Enforced means that a request on an open connection is refused or
  allowed as the new policy says. Reading, checking and compiling it is part of the time.

Each with one subscribed proxy (a real Envoy), and with 200: 8 real Envoys on one worker each, and
xDS clients in a process of their own (`benchmarks.subscribers`), for which the change counts when
they have received it. The figure of a round is the last of all; shown are median, p99 and greatest
over the rounds. Beside it, connections of innocent callers to every Envoy stay open and send
requests throughout: refused requests and closed connections are counted.

The control plane is `meshwarden serve` itself, with its files on a disk. Needs two cores; all of
control plane, Envoys, clients and the callers share what there is.
"""

import argparse
import asyncio
import json
import math
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import Any, Final

import httpx
from cryptography import x509

from benchmarks.machine import describe_machine
from meshwarden.adapters.envoy.ads import FILTERS
from meshwarden.adapters.envoy.bootstrap import envoy_command, render_bootstrap
from meshwarden.adapters.envoy.containment import CONTAINMENT
from meshwarden.adapters.envoy.listeners import AUTHORIZATION
from meshwarden.adapters.storage.authority_rotation import load_or_create_trust
from meshwarden.adapters.yaml import load_document
from meshwarden.control.layout import Layout, layout_of
from meshwarden.control.mesh import parse_mesh
from meshwarden.identity import Svid, issue_svid
from meshwarden.kernel import DependencyError, MeshwardenError, SpiffeId

DOMAIN: Final = "bench.example"
CALLER: Final = "caller"
ENVOYS: Final = 8
TARGET_ONE_MS: Final = 20.0
TARGET_ALL_MS: Final = 300.0
START_S: Final = 90.0
ROUND_S: Final = 20.0
INNOCENT_PAUSE_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One change: milliseconds until the API answered, the last Envoy and the last client."""

    answered_ms: float
    envoys_ms: float
    clients_ms: float | None

    @property
    def last_ms(self) -> float:
        """Until the last of all."""
        return max(self.envoys_ms, self.clients_ms or 0.0)


@dataclass(slots=True)
class Innocents:
    """What callers that did nothing wrong saw meanwhile."""

    requests: int = 0
    refused: int = 0
    closed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One mesh: how many proxies, how many of them real, and what was measured on it."""

    proxies: int
    envoys: int
    rounds: dict[str, list[Round]]
    innocents: Innocents


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured."""

    machine: dict[str, str]
    settings: list[Setting]


@dataclass(kw_only=True)
class Line:
    """An open connection under mutual TLS, HTTP/1.1."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def status(self, path: str) -> int:
        """Return the status of a GET; OSError or IncompleteReadError where it was closed."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nhost: s\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
        await self.reader.readexactly(length)
        return int(head.split(" ", 2)[1])


@dataclass(kw_only=True)
class Mesh:
    """A running control plane, its Envoys and its clients."""

    directory: Path
    layout: Layout
    names: list[str]
    envoys: list[str]
    clients: "asyncio.subprocess.Process | None"
    api: httpx.AsyncClient
    innocents: Innocents = field(default_factory=Innocents)
    _lines: list[Line] = field(default_factory=list)

    def svid(self) -> Svid:
        """Return an SVID of the caller, by the mesh's own authority."""
        now = datetime.now(UTC)
        trust = load_or_create_trust(self.layout.authority_dir, DOMAIN, now=now)
        identity = SpiffeId.parse(f"spiffe://{DOMAIN}/{CALLER}")
        serial = x509.random_serial_number() | 1 << 158
        return issue_svid(trust.current, identity, now=now, serial=serial)

    async def lines(self, svid: Svid) -> list[Line]:
        """Return an open connection to each Envoy."""
        pem = self.directory / "caller.pem"
        pem.touch(mode=0o600)
        pem.write_text(svid.private_key.reveal() + svid.certificate_chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(pem)
        found = []
        for name in self.envoys:
            address = self.layout.address(name)
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
            found.append(Line(reader=reader, writer=writer))
        return found

    async def tell_clients(self, command: dict[str, object]) -> dict[str, Any]:
        """Return the clients' answer to `command`."""
        assert self.clients is not None
        assert self.clients.stdin is not None
        assert self.clients.stdout is not None
        self.clients.stdin.write(json.dumps(command).encode() + b"\n")
        found: dict[str, Any] = json.loads(await self.clients.stdout.readline())
        return found

    async def post(self, path: str, body: dict[str, object]) -> None:
        """Call the control plane; DependencyError `benchmark.api` where it refuses."""
        answer = await self.api.post(path, json=body)
        if answer.status_code != 200:
            raise DependencyError("benchmark.api", f"{path}: {answer.text[:300]}")


def main() -> int:
    """Run the benchmark; return 0, or the exit code of what kept it from running."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = _arguments()
    try:
        report = asyncio.run(run(rounds=options.rounds, proxies=options.proxies))
    except MeshwardenError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    if options.json:
        print(json.dumps(_as_json(report), indent=1))
    else:
        print("\n".join(_table(report, markdown=options.markdown)))
    return 0


async def run(*, rounds: int, proxies: int) -> Report:
    """Return what was measured on a mesh of one proxy, and on one of `proxies`."""
    machine = describe_machine()
    settings = []
    for count in (1, proxies):
        with tempfile.TemporaryDirectory(prefix="mw-bench-") as name:
            async with running(Path(name), count) as mesh:
                settings.append(await _measure(mesh, rounds))
    return Report(machine=machine, settings=settings)


async def _measure(mesh: Mesh, rounds: int) -> Setting:
    found: dict[str, list[Round]] = {"revocation": [], "policy": []}
    async with _innocents(mesh):
        for number in range(rounds):
            _progress(f"{len(mesh.names)} proxies: round {number + 1} of {rounds}")
            found["revocation"].append(await _revocation(mesh))
            found["policy"].append(await _policy(mesh, extended=number % 2 == 0))
    return Setting(
        proxies=len(mesh.names), envoys=len(mesh.envoys), rounds=found, innocents=mesh.innocents
    )


async def _revocation(mesh: Mesh) -> Round:
    thief = mesh.svid()
    lines = await mesh.lines(thief)
    for line in lines:
        _require(await line.status("/v1/a"), 200)
    try:
        return await _change(
            mesh,
            CONTAINMENT,
            lambda: mesh.post("/v1/identity/revoke", {"target": thief.certificate_chain}),
            [partial(_is, line, "/v1/a", 403) for line in lines],
        )
    finally:
        for line in lines:
            line.writer.transport.abort()


async def _policy(mesh: Mesh, *, extended: bool) -> Round:
    (mesh.directory / "access.new").write_text(render_policy(mesh.names, extended=extended))
    (mesh.directory / "access.new").replace(mesh.directory / "access.yaml")
    lines = await mesh.lines(mesh.svid())
    wanted = 200 if extended else 403
    try:
        return await _change(
            mesh,
            AUTHORIZATION,
            lambda: mesh.post("/v1/policy/reload", {}),
            [partial(_is, line, "/v1/b", wanted) for line in lines],
        )
    finally:
        for line in lines:
            line.writer.transport.abort()


async def _change(
    mesh: Mesh,
    resource: str,
    call: Callable[[], Awaitable[None]],
    enforced: Sequence[Callable[[], Awaitable[bool]]],
) -> Round:
    """Make a change and return how long it took everywhere."""
    if mesh.clients:
        await mesh.tell_clients({"expect": [FILTERS, resource]})
    pause_s = 0.0 if len(enforced) == 1 else 0.004  # asking must not take the processor away
    start = monotonic_ns()
    answering = asyncio.ensure_future(_answered(call))
    async with asyncio.timeout(ROUND_S):
        ends = await asyncio.gather(*(_until(one, pause_s) for one in enforced))
        answered = await answering
        received = (
            (await mesh.tell_clients({"report": True}))["received_ns"] if mesh.clients else {}
        )
    return Round(
        answered_ms=(answered - start) / 1e6,
        envoys_ms=(max(ends) - start) / 1e6,
        clients_ms=(max(received.values()) - start) / 1e6 if received else None,
    )


async def _answered(call: Callable[[], Awaitable[None]]) -> int:
    await call()
    return monotonic_ns()


async def _until(condition: Callable[[], Awaitable[bool]], pause_s: float) -> int:
    while not await condition():  # noqa: ASYNC110  # a proxy's answers have no event
        await asyncio.sleep(pause_s)
    return monotonic_ns()


async def _is(line: Line, path: str, wanted: int) -> bool:
    return await line.status(path) == wanted


@asynccontextmanager
async def _innocents(mesh: Mesh) -> AsyncIterator[None]:
    """Keep a connection of an innocent caller to each Envoy at work while the context lasts."""
    lines = await mesh.lines(mesh.svid())
    working = [asyncio.create_task(_be_innocent(line, mesh.innocents)) for line in lines]
    try:
        yield
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for line in lines:
            line.writer.transport.abort()


async def _be_innocent(line: Line, seen: Innocents) -> None:
    while True:
        try:
            status = await line.status("/v1/a")
        except (OSError, asyncio.IncompleteReadError):
            seen.closed += 1
            return
        seen.requests += 1
        seen.refused += status != 200
        await asyncio.sleep(INNOCENT_PAUSE_S)


@asynccontextmanager
async def running(directory: Path, proxies: int) -> AsyncIterator[Mesh]:
    """Run a control plane with `proxies` sidecars, the first `ENVOYS` of them real."""
    names = [f"s{number}" for number in range(proxies)]
    (directory / "access.yaml").write_text(render_policy(names, extended=False))
    mesh_file = directory / "mesh.yaml"
    services = "".join(f"  {name}: {{command: [none], socket: true}}\n" for name in names)
    mesh_file.write_text(
        f"apiVersion: meshwarden.dev/v1\npolicy: access.yaml\nservices:\n{services}"
    )
    layout = layout_of(parse_mesh(load_document(mesh_file), directory), directory / "s")
    envoys = names[:ENVOYS]
    layout.run_dir.mkdir(mode=0o700, parents=True)
    for name in envoys:
        layout.app_dir(name).mkdir(mode=0o700, parents=True)
        layout.own_dir(name).mkdir(mode=0o700)
    async with AsyncExitStack() as stack:
        plane = [sys.executable, "-c", "from meshwarden.cli import main; main()", "serve"]
        await stack.enter_async_context(
            _process(directory, "plane", *plane, str(mesh_file), "--state", str(layout.state))
        )
        sockets = [str(layout.app_socket(name)) for name in envoys]
        answering = [sys.executable, "-m", "benchmarks.answering", *sockets]
        await stack.enter_async_context(_process(directory, "answering", *answering))
        await _until_there([layout.xds_socket(name) for name in names] + [layout.api_socket])
        for name in envoys:
            layout.service_logs_dir(name).mkdir(parents=True, exist_ok=True)
            bootstrap = layout.bootstrap(name)
            bootstrap.write_text(
                json.dumps(
                    render_bootstrap(
                        node=name,
                        xds_socket=layout.xds_socket(name),
                        admin_socket=layout.admin_socket(name),
                    )
                )
            )
            await stack.enter_async_context(
                _process(directory, f"envoy-{name}", *envoy_command(bootstrap))
            )
        clients = None
        if others := [str(layout.xds_socket(name)) for name in names[ENVOYS:]]:
            subscribing = [sys.executable, "-m", "benchmarks.subscribers", *others]
            clients = await stack.enter_async_context(
                _process(directory, "subscribers", *subscribing, piped=True)
            )
            assert clients.stdout
            async with asyncio.timeout(START_S):
                if not await clients.stdout.readline():
                    raise DependencyError("benchmark.start", "the xDS clients did not start")
        transport = httpx.AsyncHTTPTransport(uds=str(layout.api_socket))
        api = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://api", timeout=ROUND_S)
        )
        mesh = Mesh(
            directory=directory, layout=layout, names=names, envoys=envoys, clients=clients, api=api
        )
        await _until_serving(mesh)
        yield mesh


def render_policy(names: Sequence[str], *, extended: bool) -> str:
    """Return a policy in which every service takes GET from the caller and its three neighbours."""
    paths = "[/v1/a, /v1/b]" if extended else "[/v1/a]"
    lines = ["apiVersion: meshwarden.dev/v1", f"trust_domain: {DOMAIN}", "services:"]
    lines.append(f"  {CALLER}: {{identity: spiffe://{DOMAIN}/{CALLER}}}")
    for number, name in enumerate(names):
        near = {names[(number + step) % len(names)] for step in (1, 2, 3)} - {name}
        sources = ", ".join([CALLER, *sorted(near)])
        lines += [
            f"  {name}:",
            f"    identity: spiffe://{DOMAIN}/{name}",
            "    accepts:",
            f"      - {{from: [{sources}], methods: [GET], paths: {paths}}}",
        ]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def _process(
    directory: Path, name: str, *command: str, piped: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = subprocess.PIPE if piped else subprocess.DEVNULL
    with (directory / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=subprocess.PIPE if piped else log,
            stderr=log,
            limit=2**20,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_there(paths: Sequence[Path]) -> None:
    try:
        async with asyncio.timeout(START_S):
            while not all(map(os.path.exists, paths)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise DependencyError("benchmark.start", "the control plane did not start") from error


async def _until_serving(mesh: Mesh) -> None:
    try:
        async with asyncio.timeout(START_S):
            while True:
                with suppress(OSError, asyncio.IncompleteReadError):
                    lines = await mesh.lines(mesh.svid())
                    statuses = [await line.status("/v1/a") for line in lines]
                    for line in lines:
                        line.writer.transport.abort()
                    if set(statuses) == {200}:
                        return
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise DependencyError("benchmark.start", "the Envoys do not serve") from error


def _require(status: int, wanted: int) -> None:
    if status != wanted:
        raise DependencyError("benchmark.enforcement", f"got {status} instead of {wanted}")


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _table(report: Report, *, markdown: bool) -> list[str]:
    rows = [["change", "proxies", "rounds", "p50 ms", "p99 ms", "greatest ms", "target", "met"]]
    for setting in report.settings:
        for change, rounds in setting.rounds.items():
            last = [one.last_ms for one in rounds]
            p50, p99 = statistics.median(last), _percentile(last, 0.99)
            one = setting.proxies == 1
            target = f"p50 {TARGET_ONE_MS:.0f} ms" if one else f"p99 {TARGET_ALL_MS:.0f} ms"
            met = p50 <= TARGET_ONE_MS if one else p99 <= TARGET_ALL_MS
            rows.append(
                [
                    change,
                    f"{setting.proxies} ({setting.envoys} Envoys)",
                    str(len(rounds)),
                    f"{p50:.1f}",
                    f"{p99:.1f}",
                    f"{max(last):.1f}",
                    target,
                    "yes" if met else "no",
                ]
            )
    facts = [
        f"{s.proxies} proxies: {s.innocents.requests:,} requests of innocent callers,"
        f" {s.innocents.refused} refused, {s.innocents.closed} connections closed"
        for s in report.settings
    ]
    facts += [f"{key}: {value}" for key, value in report.machine.items()]
    if markdown:
        head, *body = [f"| {' | '.join(row)} |" for row in rows]
        return [
            head,
            "|---|---|---:|---:|---:|---:|---|---|",
            *body,
            "",
            *(f"- {f}" for f in facts),
        ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return [*(line.rstrip() for line in lines), "", *facts]


def _as_json(report: Report) -> dict[str, Any]:
    return asdict(report)


def _progress(what: str) -> None:
    print(f"\r{what:<60}", end="", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.propagation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="few rounds: does it work")
    parser.add_argument("--rounds", type=int, help="of each change and mesh (100)")
    parser.add_argument("--proxies", type=int, default=200, help="subscribed at once (200)")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="every figure of every round")
    shape.add_argument("--markdown", action="store_true", help="the table for a page")
    options = parser.parse_args()
    options.rounds = options.rounds or (5 if options.quick else 100)
    if not ENVOYS <= options.proxies <= 240 or options.rounds < 1:
        parser.error(f"--proxies is {ENVOYS} to 240, --rounds at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
