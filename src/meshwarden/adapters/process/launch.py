"""Turns itself into a command that cannot outlive its parent: run as `python -I -S launch.py`.

Standard library only, and nothing of this package: it runs with the privileges that the command is
about to lose. What fails is written as `<errno> <step>` to the descriptor `--report`; a command
that was started closes it without a word.

Steps, in this order because each may need what a later one takes away:

1. a session and process group of its own, so that one signal reaches all its descendants;
2. limits: no core files (they would hold keys and customers' data), open files where asked;
3. no capabilities, also none that a program could regain, but the one that `--capability` names
   (namespaces and mounts are entered before: `confine.py`);
4. the account: groups, group, user;
5. no new privileges (no set-user-ID program gains any);
6. SIGKILL when the parent dies; the kernel forgets this on step 4, and it comes too late where the
   parent is gone already, so the parent is checked afterwards;
7. the working directory, as that account; then the command.
"""

import argparse
import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAPABILITY_VERSION_3 = 0x20080522  # capset(2)
FAILED = 127


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns only where that failed."""
    parser = argparse.ArgumentParser(prog="launch.py")
    parser.add_argument("--parent", type=int, required=True, help="process id that must be alive")
    parser.add_argument("--report", type=int, required=True, help="descriptor for a failure")
    parser.add_argument("--directory", required=True)
    parser.add_argument("--open-files", type=int, help="soft limit, at most the hard one")
    parser.add_argument("--account", help="uid:gid:group,group")
    parser.add_argument("--capability", type=int, help="number of the one that is kept")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    os.set_inheritable(options.report, False)
    step = "session"
    try:
        os.setsid()
        step = "limits"
        _limit(options.open_files)
        step = "account"
        if options.account:
            _become(options.account, options.capability)
        step = "privileges"
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != options.parent:
            return FAILED
        step = "directory"
        os.chdir(options.directory)
        step = "command"
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # as the interpreter's start left them
            signal.signal(ignored, signal.SIG_DFL)
        os.execvp(options.command[0], options.command)  # noqa: S606  # no shell is the point
    except OSError as error:
        os.write(options.report, f"{error.errno} {step}".encode())
    return FAILED


def _limit(open_files: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if open_files is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft = open_files if hard == resource.RLIM_INFINITY else min(open_files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _become(account: str, capability: int | None) -> None:
    user, group, groups = account.split(":")
    for number in range(_last_capability() + 1):
        if number != capability:
            _prctl(PR_CAPBSET_DROP, number)
    _prctl(PR_SET_KEEPCAPS, int(capability is not None))
    os.setgroups([int(number) for number in groups.split(",")])
    os.setgid(int(group))
    os.setuid(int(user))
    if capability is not None:
        _keep(capability)


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read())


def _keep(capability: int) -> None:
    """Let the command have `capability` (0 to 31) though its user is not root."""
    bits = 1 << capability
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    _check(_libc().capset(header, struct.pack("=6I", bits, bits, bits, 0, 0, 0)))
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, value: int, more: int = 0) -> None:
    _check(_libc().prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(more), 0, 0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
