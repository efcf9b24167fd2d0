"""What a program is shut into: its network, its view of the files, its limits.

A `Room` is planned here as a value and carried out by `confine.py`, which imports nothing of this.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.adapters.process import confine
from meshwarden.adapters.process.account import Account

PASSABLE: Final = 0o755
SHARED: Final = 0o1777


@dataclass(frozen=True, slots=True, kw_only=True)
class Hide:
    """An empty directory of mode `mode` in the place of `at`."""

    at: Path
    mode: int = PASSABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """What is at `source`, also seen at `at`, whatever was hidden above."""

    source: Path
    at: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Namespaces, view and limits of one program.

    Attributes:
        view: what it sees, in the order in which it is arranged.
        network: descriptor of its network namespace; None: this process's own.
        cgroup: directory of its control group; None where there is none.
        processes: how many processes and threads its account may have.
        data_bytes: how much memory each of its processes may write to; None: no such limit.
        umask: of the files that it makes.
    """

    view: Sequence[Hide | Show]
    network: int | None = None
    cgroup: Path | None = None
    processes: int | None = None
    data_bytes: int | None = None
    umask: int = 0o077

    def render(self) -> str:
        """Return it as `confine.py` reads it."""
        return json.dumps(
            {
                "view": [_render(step) for step in self.view],
                "network": self.network,
                "cgroup": str(self.cgroup) if self.cgroup else None,
                "processes": self.processes,
                "data_bytes": self.data_bytes,
                "umask": self.umask,
            }
        )


def why_unconfinable() -> str | None:
    """Return why programs cannot be shut in here, tried with one that does nothing; else None."""
    trial = [f"--room={Room(view=[]).render()}", "--report=2", "--", "/bin/true"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", confine.__file__, *trial],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    number, _, step = done.stderr.partition(" ")
    reason = os.strerror(int(number)) if number.isdigit() else done.stderr[-200:]
    return f"cannot give a program a {step.strip()} of its own: {reason}"


def _render(step: Hide | Show) -> dict[str, object]:
    if isinstance(step, Hide):
        return {"hide": step.mode, "at": str(step.at)}
    return {"show": str(step.source), "at": str(step.at)}


def kept(paths: Iterable[Path]) -> list[Show]:
    """Return the steps that keep `paths` in view, each under every name that leads to it."""
    names = {name for path in paths for name in (path.absolute(), path.resolve()) if path.exists()}
    # What is above comes first: it would otherwise cover what is below.
    return [Show(source=name, at=name) for name in sorted(names, key=lambda name: name.parts)]


def barriers(paths: Iterable[Path], account: Account) -> list[Hide]:
    """Return the steps that make the way to `paths` passable for `account`, and show no more.

    A home directory is often closed to others (mode 0700), and what a service is started with may
    lie in it. In its place comes an empty directory; `kept` then puts back what the service needs.
    """
    found = set()
    for path in paths:
        for name in (path.absolute(), path.resolve()):
            closed = [above for above in reversed(name.parents) if _is_closed(above, account)]
            found.update(closed[:1])
    return [Hide(at=directory) for directory in sorted(found)]


def _is_closed(directory: Path, account: Account) -> bool:
    try:
        return not account.may_enter(directory)
    except OSError:  # missing: no barrier
        return False
