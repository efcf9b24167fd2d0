"""Real processes that do not want to be stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshwarden.adapters.forensics import ProcessSet, Selection, dump_memory
from meshwarden.kernel import DependencyError

NOBODY = 65017  # a user that has no other processes
BREEDER = """
import os, sys, time
print("on", flush=True)
while True:  # a child for ever, each of which takes over from its parent
    if os.fork():
        os._exit(0)
    time.sleep(0.001)
"""
FAMILY = """
import os, sys, time
for own_session in (False, True):
    if os.fork() == 0:
        if own_session:
            os.setsid()
        time.sleep(600)
print("on", flush=True)
time.sleep(600)
"""
SPAWNS = """
import os, sys
print("on", flush=True)
hangs = [(os.POSIX_SPAWN_OPEN, 9, {fifo!r}, os.O_RDONLY, 0)]  # before it has another program
os.posix_spawn("/bin/true", ["true"], {{}}, file_actions=hangs)
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for one in running:
        ProcessSet(Selection(leader=one.pid)).end()
        if os.geteuid() == 0:
            ProcessSet(Selection(leader=one.pid, uid=NOBODY)).end()
        one.wait(10)
        assert one.stdout
        one.stdout.close()


def start(
    started: list[subprocess.Popen[bytes]], program: str, *, uid: int | None = None
) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        ["/usr/bin/python3", "-c", program],
        stdout=subprocess.PIPE,
        start_new_session=True,
        user=uid,
    )
    started.append(child)
    assert child.stdout
    assert child.stdout.readline() == b"on\n"
    return child


def states(found: ProcessSet) -> set[str]:
    return {one.state for one in found.members()}


def wait_for_states(found: ProcessSet, wanted: set[str]) -> None:
    deadline = time.monotonic() + 10
    while states(found) != wanted and time.monotonic() < deadline:
        time.sleep(0.005)  # nothing tells of another process's state
    assert states(found) == wanted


def test_a_leader_its_group_and_its_descendants_are_stopped_resumed_and_ended(
    started: list[subprocess.Popen[bytes]],
) -> None:
    found = ProcessSet(Selection(leader=start(started, FAMILY).pid))
    assert found.stop() == 3
    assert states(found) == {"T"}
    assert found.members()[0].pid == started[0].pid
    found.resume()
    assert "T" not in states(found)
    found.end()
    assert found.members() == []
    found.end()


def test_one_that_waits_in_the_kernel_for_a_stopped_child_is_stopped(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    child = start(started, SPAWNS.format(fifo=str(tmp_path / "fifo")))
    found = ProcessSet(Selection(leader=child.pid))
    wait_for_states(found, {"D", "S"})
    assert found.stop() == 2
    assert states(found) == {"D", "T"}
    with pytest.raises(DependencyError, match="sleeps in the kernel"):
        dump_memory(child.pid, tmp_path, max_bytes=1 << 30)
    found.resume()
    wait_for_states(found, {"D", "S"})
    (tmp_path / "fifo").write_bytes(b"")
    assert child.wait(10) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's processes need root")
def test_a_user_of_its_own_is_caught_however_it_forks(
    started: list[subprocess.Popen[bytes]],
) -> None:
    child = start(started, BREEDER, uid=NOBODY)
    found = ProcessSet(Selection(leader=child.pid, uid=NOBODY))
    assert found.stop() == 1
    assert states(found) == {"T"}
    found.end()
    assert found.members() == []


def test_nobody_else_is_touched(started: list[subprocess.Popen[bytes]]) -> None:
    other = start(started, "print('on', flush=True); import time; time.sleep(600)")
    found = ProcessSet(Selection(leader=start(started, FAMILY).pid))
    pids = {one.pid for one in found.members()}
    assert other.pid not in pids
    assert os.getpid() not in pids
    found.stop()
    assert Path(f"/proc/{other.pid}/status").read_text().split("State:")[1].split()[0] != "T"


def test_a_leader_that_is_gone_has_no_members(started: list[subprocess.Popen[bytes]]) -> None:
    child = start(started, "print('on', flush=True); import time; time.sleep(600)")
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    assert ProcessSet(Selection(leader=child.pid)).members() == []
