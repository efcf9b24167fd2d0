"""Turns itself into a command that cannot outlive its parent: run as `python -I -S launch.py`.

Standard library only, and nothing of this package: it runs with the privileges that the command is
about to lose. What fails is written as `<errno> <step>` to the descriptor `--report`; a command
that was started closes it without a word.

Steps, in this order because each may need what a later one takes away:

1. a session and process group of its own, so that one signal reaches all its descendants;
2. limits: no core files (they would hold keys and customers' data), open files where asked;
3. [place of the network namespace: entered here, while privileges are still there]
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
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_NO_NEW_PRIVS = 38
FAILED = 127


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns only where that failed."""
    parser = argparse.ArgumentParser(prog="launch.py")
    parser.add_argument("--parent", type=int, required=True, help="process id that must be alive")
    parser.add_argument("--report", type=int, required=True, help="descriptor for a failure")
    parser.add_argument("--directory", required=True)
    parser.add_argument("--open-files", type=int, help="soft limit, at most the hard one")
    parser.add_argument("--account", help="uid:gid:group,group")
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
            _become(options.account)
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


def _become(account: str) -> None:
    user, group, groups = account.split(":")
    os.setgroups([int(number) for number in groups.split(",")])
    os.setgid(int(group))
    os.setuid(int(user))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
