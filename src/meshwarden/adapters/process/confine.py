"""Shuts itself into namespaces, then becomes the launcher: run as `python -I -S confine.py`.

Standard library only. It runs as root, before `launch.py` gives that up; where something fails it
writes `<errno> <step>` to the descriptor `--report`, as the launcher does.

1. Namespaces: the service's network (a descriptor), mounts and System V IPC of its own. The network
   comes first: a file system made afterwards is that network's.
2. The view, step by step as the supervisor planned it. `hide`: an empty directory in the place of
   one that is not to be seen, or that the account could not pass. `show`: what was there before,
   put back at a path inside it. Both change this mount namespace only.
3. /proc that shows an account its own processes alone. Only from Linux 5.8 on: before, the option
   would have changed the /proc of the whole machine.
4. The control group, where there is one; the limit of processes; the umask.
"""

import argparse
import ctypes
import json
import os
import resource
import sys
from collections.abc import Sequence
from typing import Any

CLONE_NEWNS = 0x00020000  # unshare(2)
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8  # mount(2)
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
TMPFS_LIMITS = "size=1g,nr_inodes=100k"  # it is memory: a service must not fill the machine's
PROC_OPTION_SINCE = (5, 8)
FAILED = 127

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: Sequence[str]) -> int:
    """Confine this process and run the command; returns only where that failed."""
    parser = argparse.ArgumentParser(prog="confine.py")
    parser.add_argument("--report", type=int, required=True, help="descriptor for a failure")
    parser.add_argument("--room", required=True, help="what it is shut into, as JSON")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    room = json.loads(options.room)
    step = "network namespace"
    try:
        if room["network"] is not None:
            _call("setns", room["network"], CLONE_NEWNET)
            os.close(room["network"])
        step = "mount namespace"
        _call("unshare", CLONE_NEWNS | CLONE_NEWIPC)
        _mount(None, "/", None, MS_REC | MS_PRIVATE)
        step = "view of the files"
        os.umask(0o022)
        os.chdir("/")
        _arrange(room["view"])
        step = "view of the processes"
        _private_proc()
        step = "limits"
        _limit(room)
        os.umask(room["umask"])
        step = "launcher"
        os.execv(options.command[0], options.command)  # noqa: S606  # no shell is the point
    except OSError as error:
        os.write(options.report, f"{error.errno} {step}".encode())
    return FAILED


def _arrange(view: list[dict[str, Any]]) -> None:
    """Carry out the steps in their order; what is shown is opened before anything is hidden."""
    sources = {
        step["show"]: os.open(step["show"], os.O_PATH | os.O_CLOEXEC)
        for step in view
        if "show" in step
    }
    for step in view:
        place = step["at"]
        if "hide" in step:
            if os.path.isdir(place):  # noqa: PTH112  # else something above it hides it already
                options = f"mode={step['hide']:o},{TMPFS_LIMITS}"
                _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, options)
            continue
        source = sources[step["show"]]
        if _is_same(source, place):
            continue
        _make_place(place, directory=os.path.isdir(f"/proc/self/fd/{source}"))  # noqa: PTH112
        _mount(f"/proc/self/fd/{source}", place, None, MS_BIND | MS_REC)
    for source in sources.values():
        os.close(source)


def _is_same(source: int, place: str) -> bool:
    try:
        there = os.stat(place)  # noqa: PTH116
    except OSError:
        return False
    return os.path.samestat(os.fstat(source), there)


def _make_place(place: str, *, directory: bool) -> None:
    if os.path.exists(place):  # noqa: PTH110
        return
    os.makedirs(place if directory else os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
    if not directory:
        os.close(os.open(place, os.O_CREAT | os.O_CLOEXEC, 0o644))


def _private_proc() -> None:
    release = os.uname().release.split(".")
    if tuple(int(part) for part in release[:2] if part.isdigit()) >= PROC_OPTION_SINCE:
        _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2")


def _limit(room: dict[str, Any]) -> None:
    if room["cgroup"] is not None:
        with open(f"{room['cgroup']}/cgroup.procs", "w", encoding="ascii") as members:  # noqa: PTH123
            members.write("0")
    if room["processes"] is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (room["processes"], room["processes"]))
    if room["data_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (room["data_bytes"], room["data_bytes"]))


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind)]
    data = options.encode() if options is not None else None
    _call("mount", *texts, ctypes.c_ulong(flags), data)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
