"""Kills whole process groups when the supervisor itself was killed.

The kernel's parent-death signal reaches a supervisor's children, but not theirs: a shell script, an
`npm start` or a `go run` would leave its own children behind. One small process holds the end of a
pipe to the supervisor and learns the groups; when the pipe closes, for whatever reason, it kills
those still listed. As a program (`python -I -S guard.py`) it uses the standard library alone.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable


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
    """Follow `lines` (`+group`, `-group`) to their end, then kill the groups that are left."""
    groups: set[int] = set()
    for line in lines:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.stdin)
