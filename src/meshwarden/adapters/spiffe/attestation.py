"""Which process is at the other end of a Unix socket: the kernel's word, bound to that process.

Steps:

1. SO_PEERCRED, SO_PEERGROUPS: pid, user and groups at the time of `connect`; SO_PEERPIDFD (Linux
   6.5): a handle on that very process. On older kernels the handle is opened by number, which could
   have passed to another process since `connect`: it must at least belong to the same user.
2. Facts from /proc/<pid>, its start before and after them.
3. The handle must still name a living process. As long as it lives its number is its own, so the
   facts are about it and nobody else.

Facts that may not be read, or are not there, are unknown (None) and meet no selector. Nothing here
decides who gets what. Not seen here: a process that handed its connected socket to another, or that
runs other code by then (`exec`); both belong to the same user.
"""

import contextlib
import errno
import hashlib
import os
import select
import socket
import struct
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.identity import ProcessFacts
from meshwarden.kernel import VerificationError

SO_PEERPIDFD: Final = 77  # asm-generic/socket.h
SO_PEERGROUPS: Final = 59
_GROUP = struct.Struct("I")
_MAX_OPTION_BYTES: Final = 1024  # that Python reads
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_CREDENTIALS = struct.Struct("3i")
_MAX_FILE_BYTES: Final = 1 << 20
_KEPT_DIGESTS: Final = 256
# Paths are texts below: this runs for each connection, and `Path` doubles its cost.
_GONE: Final = " (deleted)"


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, and the handle that tells when it ends; the caller closes it.

    Attributes:
        facts: what the kernel says about it; `sha256` is None, see `Digests`.
        pidfd: readable once the process has ended.
    """

    facts: ProcessFacts
    pidfd: int


def attest(connection: socket.socket, *, proc: str = "/proc") -> Peer:
    """Return who is at the other end of `connection`.

    Raises:
        VerificationError: `attestation.gone` where the process has ended, or is none of this
            machine's process namespace.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    if pid <= 0:
        raise _gone(pid)
    pidfd = _handle(connection, pid, uid, proc)  # 1
    try:
        groups = _peer_groups(connection)
        facts = _facts(f"{proc}/{pid}", pid=pid, uid=uid, gid=gid, groups=groups)  # 2
        _require_life(pidfd, pid)  # 3
    except BaseException:
        os.close(pidfd)
        raise
    return Peer(facts, pidfd)


class Digests:
    """SHA-256 of executables, computed once a file: by device, inode, size and times of change."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, ...], str] = OrderedDict()

    def of_process(self, peer: Peer, *, proc: str = "/proc") -> str | None:
        """Return the digest of what the process executes; None where it cannot be read.

        Reads the file that is executed, whatever lies at its path by now. May take long: call it
        off the event loop.
        """
        try:
            with Path(f"{proc}/{peer.facts.pid}/exe").open("rb") as file:
                digest = self._digest(file.fileno())
        except OSError:
            return None
        return digest if _lives(peer.pidfd) else None

    def _digest(self, descriptor: int) -> str:
        found = os.fstat(descriptor)
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        with open(descriptor, "rb", closefd=False) as file:  # it has no path
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[key] = digest
        while len(self._known) > _KEPT_DIGESTS:
            self._known.popitem(last=False)
        return digest


def start_ticks_of(pid: int, *, proc: str = "/proc") -> int | None:
    """Return when process `pid` started, in clock ticks since boot; None where there is none."""
    try:
        return _stat(f"{proc}/{pid}")[1]
    except (OSError, ValueError, IndexError):
        return None


def age_s(facts: ProcessFacts) -> float:
    """Return for how many seconds the process has been running; by the clock since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - facts.start_ticks / _TICKS_PER_S


def _handle(connection: socket.socket, pid: int, uid: int, proc: str) -> int:
    try:
        return connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # its number may be another's by now
            raise _gone(pid) from error
    try:
        pidfd = os.pidfd_open(pid)  # before Linux 6.5
    except OSError as error:
        raise _gone(pid) from error
    if _user(f"{proc}/{pid}") != uid:
        os.close(pidfd)
        raise _gone(pid)
    return pidfd


def _lives(pidfd: int) -> bool:
    """Return whether the process has not ended; a zombie has."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return not poller.poll(0)


def _require_life(pidfd: int, pid: int) -> None:
    if not _lives(pidfd):
        raise _gone(pid)


def _peer_groups(connection: socket.socket) -> frozenset[int] | None:
    """Return the other end's supplementary groups; None where the kernel cannot say it so."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _MAX_OPTION_BYTES)
    except OSError:  # a member of more than 256; before Linux 4.13
        return None
    return frozenset(number for (number,) in _GROUP.iter_unpack(raw))


def _facts(
    folder: str, *, pid: int, uid: int, gid: int, groups: frozenset[int] | None
) -> ProcessFacts:
    try:
        session, started = _stat(folder)
        facts = ProcessFacts(
            pid=pid,
            start_ticks=started,
            uid=uid,
            gid=gid,
            groups=_groups(folder) if groups is None else groups,
            session=session,
            session_start_ticks=(
                started
                if session == pid
                else start_ticks_of(session, proc=folder.rpartition("/")[0])
            ),
            cgroup=_cgroup(folder),
            network_namespace=_network_namespace(folder),
            executable=_executable(folder),
        )
        if _stat(folder)[1] != started:
            raise _gone(pid)
    except (OSError, ValueError, IndexError) as error:
        raise _gone(pid) from error
    return facts


def _stat(folder: str) -> tuple[int, int]:
    """Return session and start: fields 6 and 22 of proc(5), after a name that may hold anything."""
    fields = _read(f"{folder}/stat").rpartition(b")")[2].split()
    return int(fields[3]), int(fields[19])


def _user(folder: str) -> int | None:
    """Return the effective user of a process; None where there is none."""
    with contextlib.suppress(OSError):
        for line in _read(f"{folder}/status").splitlines():
            if line.startswith(b"Uid:"):
                return int(line.split()[2])
    return None


def _groups(folder: str) -> frozenset[int]:
    for line in _read(f"{folder}/status").splitlines():
        if line.startswith(b"Groups:"):
            return frozenset(int(number) for number in line.split()[1:])
    return frozenset()


def _cgroup(folder: str) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in _read(f"{folder}/cgroup").decode().splitlines():
            if line.startswith("0::"):
                return line.removeprefix("0::")
    return None


def _network_namespace(folder: str) -> int | None:
    try:
        name = os.readlink(f"{folder}/ns/net")  # noqa: PTH115
        return int(name.removeprefix("net:[").removesuffix("]"))
    except (OSError, ValueError):
        return None


def _executable(folder: str) -> str | None:
    try:
        path = os.readlink(f"{folder}/exe")  # noqa: PTH115
    except OSError:
        return None
    return None if path.endswith(_GONE) or not path.startswith("/") else path


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MAX_FILE_BYTES)
    finally:
        os.close(descriptor)


def _gone(pid: int) -> VerificationError:
    return VerificationError(
        "attestation.gone", f"process {pid} ended before it could be identified"
    )
