"""`meshwarden serve`: the control plane of one mesh, until SIGTERM or Ctrl-C.

`meshwarden up` starts it by itself, and starts it again when it dies.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final

import uvloop
from cyclopts import App, Parameter

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.yaml import load_document
from meshwarden.cli.log_lines import log_to_stderr
from meshwarden.cli.outputs import Outputs
from meshwarden.console.api import serving, serving_tokens
from meshwarden.control.layout import Layout, layout_of
from meshwarden.control.mesh import parse_mesh
from meshwarden.control.plane import ControlPlane, open_plane
from meshwarden.control.response.opening import open_response
from meshwarden.control.response.responding import Responding

HANDS: Final = 32
"""Threads for what waits for disk and network. On two cores asyncio would have six: a response with
its evidence, recorder and watch hold most of those, and customers at the edge wait for one."""

SWITCH_S: Final = 0.0005
"""How long a thread that computes (evidence, scoring) may keep out the one that answers: an edge
waits for an answer, which takes many turns. A tenth of Python's own; less costs throughput.
"""

app = App(
    name="serve",
    help="Run the control plane alone: policy, certificates, recorded calls.",
    help_epilogue="Example: meshwarden serve mesh.yaml --state /var/lib/meshwarden",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def serve(
    mesh: Path,
    *,
    state: Path = Path(".meshwarden"),
    outputs: Outputs | None = None,
    first_uid: Annotated[int | None, Parameter(show=False)] = None,
) -> int:
    """Serve the sidecars of the mesh that a file describes.

    Args:
        mesh: the mesh file, see docs/reference/mesh.md.
        state: directory for keys, sockets, logs and recorded calls.
        outputs: where findings go.
        first_uid: given by `up` where it isolates services: the first of the mesh's user ids.
    """
    os.umask(0o077)
    log_to_stderr()
    parsed = parse_mesh(load_document(mesh), mesh.absolute().parent)
    layout = layout_of(parsed, state, first_uid=first_uid)
    plane = open_plane(parsed, layout, clock=SystemClock(), chance=SystemChance())
    response = open_response(plane, chance=SystemChance())
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()  # modules and messages stay for good: each full collection would walk them again
    uvloop.run(_serve(plane, response, layout, outputs))
    return 0


async def _serve(
    plane: ControlPlane, response: Responding, layout: Layout, outputs: Outputs | None
) -> None:
    response.begin()
    hands = ThreadPoolExecutor(HANDS, thread_name_prefix="hand")
    asyncio.get_running_loop().set_default_executor(hands)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        if outputs is not None:
            from meshwarden.cli.exporting import exporting  # noqa: PLC0415  # only who asks pays

            await stack.enter_async_context(exporting(outputs, layout.state))
        await stack.enter_async_context(plane.running())
        await stack.enter_async_context(response.running())
        await stack.enter_async_context(serving(plane, response, layout.api_socket))
        await stack.enter_async_context(serving_tokens(plane))
        await stopped.wait()
