"""Sends one signal to every process of a user, all at once: run as `python -I -S signal_user.py`.

kill(2) with -1 reaches all processes that the sender may signal, under a lock that fork(2) needs
too, so none is born unseen: what looking through /proc can never promise about a process that keeps
forking. It must therefore be that user who sends, and nobody who may signal others as well; this
program becomes that user for good and ends. Exit code 3 where the user has no processes.

Arguments: user id, signal number.
"""

import os
import sys
from collections.abc import Sequence

NOBODY_THERE = 3


def main(arguments: Sequence[str]) -> int:
    """Become the user and send the signal."""
    uid, number = int(arguments[0]), int(arguments[1])
    if uid <= 0:
        return 2
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        return NOBODY_THERE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
