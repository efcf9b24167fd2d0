"""Kills whole process groups when the supervisor itself was killed, and removes control groups.

The kernel's parent-death signal reaches a supervisor's children, but not theirs: a shell script, an
`npm start` or a `go run` would leave its own children behind. One small process holds the end of a
pipe to the supervisor and learns the groups; when the pipe closes, for whatever reason, it kills
those still listed, then empties and removes the control groups that it was told of. As a program
(`python -I -S guard.py`) it uses the standard library alone.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

SWEEP_S = 5.0


class Guard:
    """The supervisor's side: a running guard process that knows which groups are alive."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,  # a Ctrl-C in the terminal is the supervisor's to handle
            text=True,
        )
        self._groups = self._process.stdin

    def watch(self, group: int) -> None:
        """Kill the group `group` should this process die."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Leave the group `group` alone: it is gone, and its number may be given to another."""
        self._tell(f"-{group}\n")

    def sweep(self, directory: str) -> None:
        """Remove the control group `directory` in the end; tell the inner ones first."""
        self._tell(f"={directory}\n")

    def close(self) -> None:
        """End the guard, which kills what is still listed."""
        if self._groups is not None:
            with contextlib.suppress(BrokenPipeError):
                self._groups.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        # Where someone killed the guard, each direct child still has its own parent-death signal.
        if self._groups is not None:
            with contextlib.suppress(BrokenPipeError):
                self._groups.write(line)
                self._groups.flush()


def main(lines: Iterable[str]) -> None:
    """Follow `lines` (`+group`, `-group`, `=directory`) to their end, then clear what is left."""
    groups: set[int] = set()
    directories: list[str] = []
    for line in lines:
        if line[0] == "=":
            directories.append(line[1:-1])
        else:
            (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    _sweep(directories)


def _sweep(directories: Sequence[str]) -> None:
    """Kill what is left in the control groups, and remove each as soon as it is empty."""
    for directory in directories:
        with contextlib.suppress(OSError), open(f"{directory}/cgroup.kill", "w") as kill:  # noqa: PTH123
            kill.write("1")
    deadline = time.monotonic() + SWEEP_S
    for directory in directories:
        while os.path.isdir(directory) and time.monotonic() < deadline:  # noqa: PTH112
            with contextlib.suppress(OSError):
                os.rmdir(directory)  # noqa: PTH106
                break
            time.sleep(0.01)  # the kernel tells nobody when a member is gone for good


if __name__ == "__main__":
    main(sys.stdin)
