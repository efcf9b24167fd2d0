"""A program's output when something that it started outlives it."""

import os
import signal
from pathlib import Path

from meshwarden.adapters.process import Child, Guard, Program

LEAVES_ONE_BEHIND = "mkfifo f; setsid sh -c 'echo $$; echo on >f; exec sleep 600' & cat f"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_descendant_that_left_holds_no_descriptor_of_ours(tmp_path: Path) -> None:
    lines: list[str] = []
    guard = Guard()
    program = Program(
        name="suspect",
        command=("/bin/sh", "-c", LEAVES_ONE_BEHIND),
        environment={"PATH": os.defpath},
        directory=tmp_path,
    )
    before = open_descriptors()
    try:
        child = await Child.start(program, guard=guard, sink=lambda _, line: lines.append(line))
        await child.wait()
        assert open_descriptors() == before
    finally:
        guard.close()
        os.kill(int(lines[0]), signal.SIGKILL)
