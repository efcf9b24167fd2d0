"""A hole in a service: `python -I -S foothold.py COMMAND...`; standard library alone.

The process becomes COMMAND, the service itself; a child of it runs what it is told on a Unix socket
beside the service's own: one line of JSON, `{"command": [...], "environment": {...}}` (added to its
own), answered by what that program prints until it ends. So an intruder is what he would be: a
process that descends from the service's own, in its group, and ends with it.

Used where services are not isolated. Where they are, everything that runs as the service's user is
the service's, and no hole is needed to be one of them.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HOLE: Final = "hole"
MAX_LINE: Final = 1 << 20


def main(command: Sequence[str]) -> None:
    """Become the command, and leave a child behind that starts others."""
    place = Path(os.environ["MESHWARDEN_SOCKET"]).with_name(HOLE)  # noqa: TID251  # entry point
    with contextlib.suppress(FileNotFoundError):
        place.unlink()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(place))
        door.listen()
        if os.fork() == 0:
            _serve(door)
    os.execvp(command[0], list(command))  # noqa: S606  # no shell is the point


def _serve(door: socket.socket) -> None:
    started: list[subprocess.Popen[bytes]] = []
    while True:
        end, _ = door.accept()
        with end, end.makefile("rb") as lines:
            asked = json.loads(lines.readline(MAX_LINE))
            command: list[str] = asked["command"]
            environment = {**os.environ, **asked["environment"]}  # noqa: TID251  # entry point
            started = [one for one in started if one.poll() is None]  # the others are reaped
            out = end.fileno()
            started.append(
                subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
                )
            )


if __name__ == "__main__":
    main(sys.argv[1:])
