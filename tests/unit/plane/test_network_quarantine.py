"""One network namespace cut off and let back in: real packets, loopback included."""

import subprocess
import sys

import pytest

from meshwarden.adapters.network import why_unavailable

pytestmark = pytest.mark.skipif(why_unavailable() is not None, reason="needs root and nftables")
SCRIPT = """
import os, socket
from meshwarden.adapters.network.quarantine import cut_off, is_cut_off, let_in, let_out
place = os.open("/proc/self/ns/net", os.O_RDONLY)
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), timeout=5)
served, _ = server.accept()
assert not is_cut_off(place)
for _ in range(2):  # what is done already is not done twice
    cut_off(place)
assert is_cut_off(place)
for end in (client, served):
    end.settimeout(5)
    try:
        end.send(b"x")
        assert end.recv(1) == b""
    except ConnectionError:
        continue
    raise SystemExit("an open connection went on")
try:
    socket.create_connection(server.getsockname(), timeout=5)
    raise SystemExit("a new connection was taken")
except ConnectionRefusedError:
    pass
let_out(place)
assert not is_cut_off(place)
for _ in range(2):
    let_in(place)
socket.create_connection(server.getsockname(), timeout=5).close()
print("let in")
"""


def test_nothing_passes_until_it_is_let_in() -> None:
    command = [
        "unshare",
        "-n",
        "sh",
        "-c",
        f"ip link set lo up; exec {sys.executable} -c '{SCRIPT}'",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "let in\n", done.stderr
