"""`meshwarden up`: your own services, each behind a sidecar, until Ctrl-C or SIGTERM.

Stdout has the table of services and their output as `name | line`; what meshwarden itself does goes
to stderr. With `--json`, stdout is one object, printed once all are healthy; the rest is on stderr.
"""

import asyncio
import contextlib
import json as jsonlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from meshwarden.adapters.yaml import load_document
from meshwarden.cli.outputs import Outputs
from meshwarden.cli.screen import STDERR, STDOUT, Screen
from meshwarden.control.layout import CONTROL_PLANE, Layout, sidecar_name
from meshwarden.control.mesh import Mesh, check_against, parse_mesh
from meshwarden.control.supervision import Event, Supervisor, Wiring

app = App(
    name="up",
    help="Start your own services, each behind a sidecar, and keep them running until Ctrl-C.",
    help_epilogue="Example: meshwarden up mesh.yaml --state /var/lib/meshwarden",
    help_format="plaintext",
    result_action="return_value",
)

LOOPBACK_NOTE: Final = (
    "services are not isolated ({why}), all are on loopback, which does not protect against other"
    " programs on this machine: any local process"
    " can open a service's `port:` and use a sidecar's outbound listener (services with"
    " `socket: true` are reachable only by their own user and root), and programs of the user who"
    " runs meshwarden can read its keys"
)


PARTNERS_NOTE: Final = (
    "rules name workloads of other trust domains that have no way in: add `partners` in the mesh"
    " file to {}"
)


@app.default
def up(
    mesh: Path,
    *,
    state: Path = Path(".meshwarden"),
    loopback: Annotated[bool, Parameter(negative="")] = False,
    outputs: Outputs | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run the mesh that a file describes.

    Args:
        mesh: the mesh file, see docs/reference/mesh.md.
        state: directory for keys, sockets, logs and recorded calls.
        loopback: do not isolate services from one another and from this machine, though root could.
        outputs: where findings go.
        json: print one JSON object once all services are healthy.
    """
    from meshwarden.control.fabric import closed_to_partners  # noqa: PLC0415
    from meshwarden.control.supervision.isolation import lay_out, why_not_isolated  # noqa: PLC0415
    from meshwarden.control.supervision.wiring import wire  # noqa: PLC0415
    from meshwarden.policy import parse_policy  # noqa: PLC0415

    parsed = parse_mesh(load_document(mesh), mesh.absolute().parent)
    policy = parse_policy(load_document(parsed.policy_path))
    check_against(parsed, policy)
    why = why_not_isolated(loopback=loopback)
    layout = lay_out(parsed, state, isolated=why is None)
    wiring = wire(mesh, parsed, policy, layout)
    if closed := closed_to_partners(policy, parsed, layout):
        print(f"meshwarden: note: {PARTNERS_NOTE.format(', '.join(closed))}", file=sys.stderr)
    return run_mesh(parsed, layout, wiring, json=json, why=why, outputs=outputs)


def run_mesh(
    mesh: Mesh,
    layout: Layout,
    wiring: Wiring,
    *,
    json: bool = False,
    why: str | None = "asked for",
    outputs: Outputs | None = None,
) -> int:
    """Run `mesh` until a signal; return the exit code. `why`: why it is not isolated.

    Raises:
        ConfigError: as `Supervisor.start`.
        DependencyError: as `Supervisor.start`.
    """
    running = _run(mesh, layout, wiring, json=json, why=why)
    return asyncio.run(running if outputs is None else _exporting(running, outputs, layout.state))


async def _exporting(running: Coroutine[Any, Any, int], outputs: Outputs, state: Path) -> int:
    from meshwarden.cli.exporting import exporting  # noqa: PLC0415  # only who asks pays for it

    async with exporting(outputs, state):
        return await running


async def _run(mesh: Mesh, layout: Layout, wiring: Wiring, *, json: bool, why: str | None) -> int:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def _gone() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing to stop
            loop.call_soon_threadsafe(asked.set)

    screen = Screen(on_gone=_gone)
    width = max(len(name) for name in (CONTROL_PLANE, *map(sidecar_name, mesh.services)))

    def _line(name: str, line: str) -> None:
        screen.show(f"{name:<{width}} | {line}", to=STDERR if json else STDOUT)

    def _event(event: Event) -> None:
        screen.show(f"{'meshwarden':<{width}} | {event}", to=STDERR)

    supervisor = Supervisor(
        mesh,
        layout,
        wiring,
        environment=os.environ,  # noqa: TID251  # this is the entry point
        on_line=_line,
        on_event=_event,
    )
    try:
        if not layout.isolated:
            screen.show(f"meshwarden: note: {LOOPBACK_NOTE.format(why=why)}", to=STDERR)
        with _signals(asked, supervisor.kill):
            await _until(asked, supervisor, lambda: _show(supervisor, screen, json=json))
    finally:
        screen.close()
    return 0


async def _until(asked: asyncio.Event, supervisor: Supervisor, on_up: Callable[[], None]) -> None:
    """Start, and stop when `asked`, or when starting or keeping it up fails."""
    asking = asyncio.create_task(asked.wait())
    working = asyncio.create_task(_work(supervisor, on_up))
    try:
        await asyncio.wait({asking, working}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asking.cancel()
        working.cancel()
        await asyncio.wait({working})
        await supervisor.stop()
    if not working.cancelled():
        working.result()


async def _work(supervisor: Supervisor, on_up: Callable[[], None]) -> None:
    await supervisor.start()
    on_up()
    await supervisor.failed()


@contextlib.contextmanager
def _signals(asked: asyncio.Event, kill: Callable[[], None]) -> Iterator[None]:
    """Set `asked` at the first signal, call `kill` at each further one."""
    loop = asyncio.get_running_loop()

    def _seen() -> None:
        if asked.is_set():
            kill()
        asked.set()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, _seen)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _show(supervisor: Supervisor, screen: Screen, *, json: bool) -> None:
    summary = describe(supervisor)
    if json:
        screen.show(jsonlib.dumps(summary))
        return
    for line in _table(summary["services"]):
        screen.show(line)
    for service in summary["services"]:
        if service["edge"]:
            screen.show(f"{service['name']} takes outside traffic at {service['edge']}")
    screen.show(f"all healthy; state in {summary['state']}; Ctrl-C stops", to=STDERR)


def describe(supervisor: Supervisor) -> dict[str, Any]:
    """Return the running mesh as `--json` prints it."""
    mesh, layout, pids = supervisor.mesh, supervisor.layout, supervisor.pids
    return {
        "state": str(layout.state),
        "isolated": layout.isolated,
        "control_plane": {"pid": pids.get(CONTROL_PLANE)},
        "services": [
            {
                "name": name,
                "pid": pids.get(name),
                "sidecar_pid": pids.get(sidecar_name(name)),
                "sidecar": str(layout.address(name)),
                "listens": str(layout.app_socket(name))
                if service.socket
                else f"127.0.0.1:{service.port}"
                if service.port
                else None,
                "edge": f"http://127.0.0.1:{service.edge}/" if service.edge else None,
                "log": str(layout.output_log(name)),
            }
            for name, service in mesh.services.items()
        ],
    }


def _table(services: list[dict[str, Any]]) -> list[str]:
    rows = [("SERVICE", "PROCESS", "MUTUAL TLS", "LISTENS")]
    rows += [(s["name"], str(s["pid"]), s["sidecar"], s["listens"] or "-") for s in services]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
