"""Keeps one container running in the foreground: `python -m ...attend ENGINE NAME`.

What starts it (a supervisor) sees a process like any other: it runs as long as the container
does, and when it is asked to end it ends the container. One that is killed leaves the container
alone; the next one starts it anew, since the directory that it shares with its sidecar may be
another by then.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from meshwarden.adapters.containers.acting import bring, order
from meshwarden.adapters.containers.codec import Container
from meshwarden.adapters.containers.engine import Engine
from meshwarden.adapters.containers.replacing import end
from meshwarden.kernel import DependencyError, MeshwardenError

GRACE_S: Final = 5
"""Between asking a container to end and killing it: half of what a supervisor gives a program."""

WAIT_S: Final = 3600.0
"""One question whether it has ended; then it is asked again."""


async def attend(engine: Engine, name: str) -> None:
    """Start the container called `name`, and return when it has ended; cancelled, end it.

    Raises:
        DependencyError: `containers.missing`, or where the engine does not do it.
    """
    container = await engine.inspect(name)
    if container is None:
        raise DependencyError(
            "containers.missing",
            f"the engine at {engine.socket} has no container {name}",
            hint=f"make it first: podman create --name {name} ...",
        )
    await end(engine, container)
    await bring(engine, container, lambda now: now.running, "start")
    try:
        await _ended(engine, container)
    except asyncio.CancelledError:
        await bring(engine, container, lambda now: not now.running, "stop", {"t": GRACE_S})
        raise


async def _ended(engine: Engine, container: Container) -> None:
    patient = Engine(socket=engine.socket, timeout_s=WAIT_S)
    while True:
        now = await engine.inspect(container.id)
        if now is None or not now.running:
            return
        with contextlib.suppress(DependencyError):  # it runs still, or its engine is started anew
            await order(patient, container, "wait")


async def _main(arguments: Sequence[str]) -> int:
    socket, name = arguments
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task  # noqa: S101  # this runs in one
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await attend(Engine(socket=Path(socket)), name)
    except asyncio.CancelledError:
        return 0
    except MeshwardenError:
        return 3
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1:])))
