"""An intruder who got in through a hole in a service is one of its processes, and ends with it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshwarden.adapters.forensics import ProcessSet, Selection
from meshwarden.lab.attacks import foothold

WITHIN_S = 60
SERVICE = "import sys; print('serves', flush=True); sys.stdin.read()"
INTRUDER = (
    "import os, time; assert os.environ['STOLEN'] == 'loot'; print(os.getpid(), flush=True);"
    "time.sleep(1000)"
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-I", "-S", foothold.__file__]
    environment = {**os.environ, "MESHWARDEN_SOCKET": str(tmp_path / "app.sock")}
    with subprocess.Popen(
        [*command, sys.executable, "-c", SERVICE], env=environment, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "serves\n"
        yield process
        ProcessSet(Selection(leader=process.pid)).end()


def break_in(folder: Path) -> tuple[socket.socket, int]:
    """Start the intruder; return what he prints to, and his process."""
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(WITHIN_S)
    end.connect(str(folder / foothold.HOLE))
    asked = {"command": [sys.executable, "-c", INTRUDER], "environment": {"STOLEN": "loot"}}
    end.sendall(json.dumps(asked).encode() + b"\n")
    said = b""
    while not said.endswith(b"\n"):
        said += end.recv(64)
    return end, int(said)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_intruder_is_stopped_and_ended_with_the_service(
    service: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    end, intruder = break_in(tmp_path)
    suspect = ProcessSet(Selection(leader=service.pid))
    assert intruder in [one.pid for one in suspect.members()]
    suspect.stop()
    assert state_of(intruder) == "T"
    suspect.end()
    with end:
        assert end.recv(64) == b""


def test_he_ends_with_the_group_of_a_service_that_ended_by_itself(
    service: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    end, _ = break_in(tmp_path)
    assert service.stdin
    service.stdin.close()
    service.wait(WITHIN_S)
    os.killpg(service.pid, 9)
    with end:
        assert end.recv(64) == b""
