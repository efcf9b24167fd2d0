"""`meshwarden` as a user starts it: a process of its own, with all that it starts."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.small_mesh import eventually

from meshwarden.adapters.yaml import load_document
from meshwarden.control.layout import Layout, layout_of
from meshwarden.control.mesh import parse_mesh

WITHIN_S = 60


@dataclass(kw_only=True)
class Up:
    """A running `meshwarden up`, all of it healthy."""

    process: asyncio.subprocess.Process
    layout: Layout
    summary: dict[str, Any]

    @property
    def pids(self) -> set[int]:
        """Every process of the mesh, the supervisor's included."""
        services = self.summary["services"]
        return {
            self.process.pid,
            self.summary["control_plane"]["pid"],
            *(service["pid"] for service in services),
            *(service["sidecar_pid"] for service in services),
        }

    def sidecar(self, service: str) -> int:
        """Return the process of the sidecar that `service` was started with."""
        [found] = [each for each in self.summary["services"] if each["name"] == service]
        return int(found["sidecar_pid"])

    async def end(self) -> int:
        """Return its exit code, once it has ended."""
        async with asyncio.timeout(WITHIN_S):
            return await self.process.wait()


def command(*arguments: str) -> list[str]:
    """Return the command line of `meshwarden <arguments>`."""
    return [sys.executable, "-c", "from meshwarden.cli import main; main()", *arguments]


@contextlib.asynccontextmanager
async def up(mesh_file: Path, state: Path) -> AsyncIterator[Up]:
    """Run `meshwarden up` on loopback; yield once all is healthy. It is stopped where it was left."""
    mesh = parse_mesh(load_document(mesh_file), mesh_file.parent)
    with (mesh_file.parent / "up.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command("up", str(mesh_file), "--state", str(state), "--loopback", "--json"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            line = await process.stdout.readline()
        assert line, (mesh_file.parent / "up.log").read_text()[-2000:]
        yield Up(process=process, layout=layout_of(mesh, state), summary=json.loads(line))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(WITHIN_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def run(*arguments: str) -> tuple[int, list[str]]:
    """Run `meshwarden <arguments>` to its end; return its exit code and the lines on stderr."""
    process = await asyncio.create_subprocess_exec(
        *command(*arguments),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode().splitlines()


def processes_of(directory: Path) -> set[int]:
    """Return the processes that have `directory` in their arguments or environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if bytes(directory) in told:
                    found.add(int(entry.name))
    return found


async def nothing_left(directory: Path) -> None:
    """Return once no process has `directory` in its arguments or environment."""

    async def _gone() -> bool:
        return not processes_of(directory)

    await eventually(_gone, what="no process is left")
