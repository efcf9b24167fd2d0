"""A process's memory as a core file, by gcore of the GNU debugger where that is installed.

The process is stopped by a signal before, never by the version 1 freezer, in which ptrace(2) waits
for ever. Its size is known before: what would not fit is not begun.
"""

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

from meshwarden.adapters.forensics.processes import look_at
from meshwarden.kernel import DependencyError

TIMEOUT_S: Final = 60.0


def resident_bytes(pid: int) -> int:
    """Return the octets of memory that the process has in use; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096


def dump_memory(pid: int, folder: Path, *, max_bytes: int) -> Path:
    """Return a core file of the stopped process `pid` in the private directory `folder`.

    Raises:
        DependencyError: `forensics.memory`, saying why there is none.
    """
    program = shutil.which("gcore", path="/usr/bin:/usr/local/bin:/bin")
    if program is None:
        raise DependencyError("forensics.memory", "gcore is not installed", hint="package gdb")
    if (seen := look_at(pid)) is not None and seen.sleeps:  # ptrace(2) would wait
        raise DependencyError(
            "forensics.memory",
            "it sleeps in the kernel, where no debugger reaches it",
            hint="a child of vfork(2) that it waits for has the same memory",
        )
    if resident_bytes(pid) > max_bytes:
        raise DependencyError(
            "forensics.memory", f"{resident_bytes(pid)} bytes are more than the {max_bytes} left"
        )
    prefix = folder / "core"
    try:
        done = subprocess.run(
            [program, "-o", str(prefix), str(pid)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
            preexec_fn=_default_signals,  # a child that only restores signals
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DependencyError("forensics.memory", f"gcore failed: {error}") from error
    core = folder / f"core.{pid}"
    if done.returncode != 0 or not core.exists():
        said = " ".join(done.stderr.split())[-200:]
        raise DependencyError("forensics.memory", f"gcore failed: {said}")
    core.chmod(0o600)
    return core


def _default_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
