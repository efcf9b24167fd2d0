"""A suspect's processes: all of them, also those that it hides in sessions of their own.

Where a service has a user of its own, its processes are that user's: it cannot start one that is
not, and one signal reaches them all at once (`signal_user`). Elsewhere they are the leader's
descendants and its process group; one that left both before anybody looked escapes. There, signals
go through pidfds (pidfd_open(2)), so a number that another process has meanwhile is never hit, and
stopping is repeated until a look finds nobody running: a stopped process forks no more.

A process that called vfork(2) sleeps in the kernel until its child has another program or has
ended, and does not stop before; a child that was stopped first keeps it there for ever. That counts
as stopped too, as the stop waits for it: it runs no instruction of its own any more. Otherwise a
suspect could keep its evidence from being taken.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.adapters.forensics import signal_user
from meshwarden.adapters.spiffe.attestation import start_ticks_of
from meshwarden.kernel import DependencyError

TRIES: Final = 10
PATIENCE_S: Final = 10.0
ROUNDS: Final = 1000
"""Looks at the processes before giving up on one that forks faster than it is stopped, or that the
kernel does not let go of."""

PAUSE_S: Final = 0.002
"""Between two looks: a signal takes effect when the kernel next runs its process."""

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_STOPPED: Final = frozenset("TtZX")
_STOPS: Final = 1 << (signal.SIGSTOP - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which processes are the suspect's.

    Attributes:
        leader: the process that was started as the service.
        uid: the user that is this service's alone; None where it shares one.
        control_group: the line of /proc/<pid>/cgroup that is this service's alone; what is in it,
            or below, is the suspect's, wherever it descends from. None where it has none.
    """

    leader: int
    uid: int | None = None
    control_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One process.

    Attributes:
        pid, parent, group: numbers, as this process sees them.
        state: the letter of proc(5).
        uids: its real, effective, saved and file system users.
        started: clock ticks since boot; with the number it names one process.
        pending: signals that wait for it, a bit each, the lowest for signal 1.
    """

    pid: int
    parent: int
    group: int
    state: str
    uids: frozenset[int]
    started: int
    pending: int

    @property
    def sleeps(self) -> bool:
        """Whether it is in the kernel, where only its end reaches it."""
        return self.state == "D"

    @property
    def runs(self) -> bool:
        """Whether it may run an instruction of its own before it is let on."""
        return self.state not in _STOPPED and not (self.sleeps and self.pending & _STOPS)


class ProcessSet:
    """The processes of one selection, looked up anew for each call."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._known: set[tuple[int, int]] = set()  # stays one when its parent ends and leaves it

    def members(self) -> list[Seen]:
        """Return the suspect's processes that have not ended, leader first."""
        everyone = {one.pid: one for one in _everyone() if one.state not in {"Z", "X"}}
        mine = [one for one in everyone.values() if self._is_member(one, everyone)]
        self._known |= {(one.pid, one.started) for one in mine}
        return sorted(mine, key=lambda one: (one.pid != self._selection.leader, one.pid))

    def stop(self) -> int:
        """Stop all; return how many. DependencyError `forensics.processes` where one escapes."""
        return len(self._until(signal.SIGSTOP, lambda one: not one.runs))

    def ask_to_stop(self) -> None:
        """Have each stop before its next instruction; for those that do not run now."""
        self._signal(self.members(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let them run on."""
        self._signal(self.members(), signal.SIGCONT)

    def end(self) -> None:
        """Kill all; DependencyError `forensics.processes` where one escapes."""
        self._until(signal.SIGKILL, lambda _: False)

    def _until(self, number: signal.Signals, reached: Callable[[Seen], bool]) -> list[Seen]:
        """Send `number` until a look finds nobody whom it has not reached; return who is left."""
        self._signal(self.members(), number)
        for _ in range(ROUNDS):
            members = self.members()
            missed = [one for one in members if not reached(one)]
            if not missed:
                return members
            self._signal(missed, number)
            select.select([], [], [], PAUSE_S)  # nothing tells of a stop
        raise DependencyError(
            "forensics.processes", f"{len(missed)} processes escape {number.name}"
        )

    def _is_member(self, one: Seen, everyone: dict[int, Seen]) -> bool:
        if self._selection.uid is not None:
            return self._selection.uid in one.uids
        if self._selection.control_group is not None:
            return _is_in(one.pid, self._selection.control_group)
        leader = self._selection.leader
        if leader in {one.pid, one.group} or (one.pid, one.started) in self._known:
            return True
        seen: set[int] = set()
        while one.parent in everyone and one.pid not in seen:
            seen.add(one.pid)
            one = everyone[one.parent]
            if one.pid == leader:
                return True
        return False

    def _signal(self, members: list[Seen], number: signal.Signals) -> None:
        if self._selection.uid is not None:
            _signal_user(self._selection.uid, number)
            return
        for member in members:
            # Between the look and the open the number may have become another's: look again.
            with contextlib.suppress(ProcessLookupError), _held(member.pid) as held:
                if start_ticks_of(member.pid) == member.started:
                    signal.pidfd_send_signal(held, number)


def started_at(pid: int) -> int:
    """Return when the process `pid` was started, nanoseconds since the epoch; 0: it is gone."""
    ticks = start_ticks_of(pid)
    if ticks is None:
        return 0
    since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / _TICKS_PER_S
    return time.time_ns() - int(since_boot_s * 1e9)


def _signal_user(uid: int, number: signal.Signals) -> None:
    command = [sys.executable, "-I", "-S", signal_user.__file__, str(uid), str(int(number))]
    for _ in range(TRIES):  # the user itself might kill it before it has done its work
        code = subprocess.run(command, env={}, check=False, timeout=PATIENCE_S).returncode
        if code in {0, signal_user.NOBODY_THERE}:
            return
    raise DependencyError("forensics.signal", f"user {uid} cannot be signalled: exit code {code}")


def _everyone() -> Iterator[Seen]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := look_at(int(entry.name))) is not None:
            yield found


def look_at(pid: int) -> Seen | None:
    """Return process `pid`; None where it is gone.

    From /proc/<pid>/status: whose a file of /proc is, a process can change (prctl(2)).
    """
    started = start_ticks_of(pid)
    try:
        lines = Path(f"/proc/{pid}/status").read_bytes().splitlines()
    except OSError:
        return None
    if started is None:
        return None
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    return Seen(
        pid=pid,
        parent=int(fields[b"PPid"]),
        group=int(fields[b"NSpgid"].split()[0]),
        state=fields[b"State"].split()[0].decode(),
        uids=frozenset(map(int, fields[b"Uid"].split())),
        started=started,
        pending=int(fields[b"SigPnd"], 16) | int(fields[b"ShdPnd"], 16),
    )


def _is_in(pid: int, group: str) -> bool:
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return False
    return any(line == group or line.startswith(f"{group}/") for line in lines)


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
