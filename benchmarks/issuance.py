"""SVIDs per second through the Workload API, attested; memory with 1,000 workloads streaming.

    python -m benchmarks.issuance [--rounds 5] [--workloads 1000]

The server is the real control plane (`meshwarden serve`), held to one core; callers are processes
of their own, each with its own pid, connection, attestation and SVID. What is counted:

- X.509: each of many new processes connects, is attested, and gets an SVID that was signed for it
  alone, with a key of its own. The processes are made before the clock runs and end after it;
- JWT: calls on connections that are open, each answered with a fresh token.

The baseline in the same run is the bare signature: `issue_svid` in a loop on the same core, which
is what no server of this library can pass. Rates are given by wall clock and by the control plane's
own processor time, since the callers share the machine.
"""

import argparse
import contextlib
import gc
import json
import os
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.spiffe import messages
from meshwarden.cli import run
from meshwarden.control.layout import Layout
from meshwarden.identity import create_authority, create_root, issue_svid
from meshwarden.kernel import SpiffeId

DOMAIN = "bench.example"
POLICY = f"apiVersion: meshwarden.dev/v1\ntrust_domain: {DOMAIN}\nservices:\n"
POLICY += f"  one: {{identity: spiffe://{DOMAIN}/one}}\n"
MESH = "apiVersion: meshwarden.dev/v1\npolicy: access.yaml\n"
MESH += 'services:\n  one: {command: ["true"]}\n'
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-round", type=int, default=1000)
    parser.add_argument("--workloads", type=int, default=1000)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix="mw-") as name:
        directory = Path(name)
        server, path = start(directory)
        try:
            report = measure(server, path, options)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    print(json.dumps(report, indent=1))
    return 0


def start(directory: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the control plane on one core; return it and its Workload API."""
    (directory / "access.yaml").write_text(POLICY)
    (directory / "mesh.yaml").write_text(MESH)
    state = directory / "s"
    state.mkdir(0o700)
    batch = f"spiffe://{DOMAIN}/batch"
    command = ["identity", "register", batch, "--uid", str(os.getuid()), "--state", str(state)]
    assert run(command) == 0
    core = max(os.sched_getaffinity(0))
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable, "-c", "from meshwarden.cli import main; main()",
                "serve", str(directory / "mesh.yaml"), "--state", str(state),
            ],
            stdout=log,
            stderr=log,
        )  # fmt: skip
    os.sched_setaffinity(server.pid, {core})
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {core})  # callers keep off it
    path = Layout(state, ("one",)).workload_socket
    until = time.monotonic() + 60
    while not path.exists():
        if server.poll() is not None or time.monotonic() > until:
            server.kill()
            raise SystemExit((directory / "log").read_text())
        time.sleep(0.05)
    return server, path


def measure(
    server: subprocess.Popen[bytes], path: Path, options: argparse.Namespace
) -> dict[str, object]:
    """Return all figures."""
    number = options.per_round
    kinds: dict[str, Callable[[], AbstractContextManager[Callable[[], None]]]] = {
        "X.509-SVIDs": lambda: x509_callers(path, number),
        "JWT-SVIDs": lambda: nullcontext(lambda: call_jwt(path, number)),
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    bare: list[float] = []
    for prepare in kinds.values():
        with prepare() as work:
            work()  # warm
    for _ in range(options.rounds):
        bare.append(bare_rate())
        for name, prepare in kinds.items():
            with prepare() as work:
                busy, began = processor_s(server.pid), time.perf_counter()
                work()
                wall = time.perf_counter() - began
                busy = processor_s(server.pid) - busy
            rates[name].append((number / wall, number / busy))
    before = rss_mb(server.pid)
    streaming = hold_streams(path, options.workloads)
    held = rss_mb(server.pid)
    for pid in streaming:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return {
        "machine": {"cores": os.cpu_count(), "kernel": os.uname().release},
        "issue_svid alone, per second": spread(bare),
        **{
            f"{name} per second": {
                "by wall clock": spread([wall for wall, _ in found]),
                "by processor time of the control plane": spread([busy for _, busy in found]),
            }
            for name, found in rates.items()
        },
        "control plane, MB": {
            "before": round(before),
            f"{options.workloads} workloads streaming": round(held),
        },
    }


def spread(values: list[float]) -> dict[str, int]:
    """Return median and range."""
    return {
        "median": round(statistics.median(values)),
        "low": round(min(values)),
        "high": round(max(values)),
    }


def bare_rate(number: int = 1000) -> float:
    """Return how many SVIDs this core signs a second, without anybody asking."""
    chance, now = SystemChance(), datetime.now(UTC)
    root = create_root(DOMAIN, now=now, serial=chance.serial())
    authority = create_authority(root, now=now, serial=chance.serial())
    identity = SpiffeId.parse(f"spiffe://{DOMAIN}/batch")
    began = time.process_time()
    for _ in range(number):
        issue_svid(authority, identity, now=now, serial=chance.serial())
    return number / (time.process_time() - began)


def opening(method: str, body: bytes) -> bytes:
    """Return the bytes with which a client opens a connection and makes one call."""
    http = H2Connection(H2Configuration(client_side=True))
    http.initiate_connection()
    http.send_headers(1, headers(method))
    http.send_data(1, body, end_stream=True)
    return http.data_to_send()


def headers(method: str) -> list[tuple[str, str]]:
    """Return what a gRPC client sends."""
    return [
        (":method", "POST"), (":scheme", "http"), (":path", f"/SpiffeWorkloadAPI/{method}"),
        (":authority", "localhost"), ("te", "trailers"), ("content-type", "application/grpc"),
        ("user-agent", "grpc-python/1.85"), ("workload.spiffe.io", "true"),
    ]  # fmt: skip


AN_SVID = 1500  # bytes; settings and headers are some hundred, an SVID is 2,000
OPEN_X509 = opening("FetchX509SVID", b"\0\0\0\0\0")


def fetch(path: Path) -> socket.socket:
    """Return a connection on which an SVID has arrived."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    ask(connection)
    return connection


def ask(connection: socket.socket) -> None:
    """Ask for an SVID; return when it has arrived."""
    connection.sendall(OPEN_X509)
    received = 0
    while received < AN_SVID:
        data = connection.recv(65536)
        assert data, "the connection ended"
        received += len(data)


def rehearse() -> None:
    """Ask into the void, so that this process has its own copy of all the memory that asking takes.

    A process that was forked copies a page when it first writes to it, some hundreds of them here.
    """
    here, there = socket.socketpair()
    with here, there:
        there.sendall(bytes(AN_SVID))
        ask(here)


@contextlib.contextmanager
def x509_callers(path: Path, number: int, at_once: int = 32) -> Iterator[Callable[[], None]]:
    """Have new processes that wait for their turn; what is yielded has each fetch an SVID once.

    They are made before and end after, so that the clock counts new attested connections, each with
    an SVID signed for it, and not how fast the machine makes and buries processes. `at_once` of
    them are at it at a time: a turn is a byte in a pipe, taken and put back.
    """
    turn, turns = os.pipe()
    ended, done = os.pipe()

    def _wait(mark: bytes) -> None:
        left = number
        while left:
            arrived = os.read(ended, left)
            assert arrived == mark * len(arrived), "a caller got no SVID"
            left -= len(arrived)

    def _run() -> None:
        os.write(turns, b"x" * at_once)
        _wait(b"x")

    gc.freeze()  # a collection in each of them would copy what they share
    pids = [_fork_caller(path, turn, turns, done) for _ in range(number)]
    gc.unfreeze()
    try:
        _wait(b"r")
        yield _run
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for descriptor in (turn, turns, ended, done):
            os.close(descriptor)


def _fork_caller(path: Path, turn: int, turns: int, done: int) -> int:
    pid = os.fork()
    if pid == 0:
        rehearse()
        os.write(done, b"r")
        os.read(turn, 1)
        try:
            fetch(path).close()
        except BaseException:  # noqa: BLE001  # it is another process: the mark tells
            os.write(done, b"!")
        os.write(done, b"x")
        os.write(turns, b"x")
        signal.pause()
    return pid


def call_jwt(path: Path, number: int, at_once: int = 16) -> None:
    """Make `number` calls for tokens on one connection."""
    request = messages.JWTSVIDRequest(audience=["ledger"]).SerializeToString()
    body = b"\0" + struct.pack(">I", len(request)) + request
    http = H2Connection(H2Configuration(client_side=True))
    http.initiate_connection()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        asked = answered = 0
        while answered < number:
            while asked - answered < at_once and asked < number:
                stream = http.get_next_available_stream_id()
                http.send_headers(stream, headers("FetchJWTSVID"))
                http.send_data(stream, body, end_stream=True)
                asked += 1
            connection.sendall(http.data_to_send())
            for event in http.receive_data(connection.recv(65536)):
                if isinstance(event, DataReceived):
                    http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                answered += isinstance(event, StreamEnded)


def hold_streams(path: Path, number: int) -> list[int]:
    """Return the pids of `number` processes that each hold a stream open."""
    read, write = os.pipe()
    pids = []
    for _ in range(number):
        pid = os.fork()
        if pid == 0:
            connection = fetch(path)
            os.write(write, b"x")
            connection.recv(65536)  # until the connection ends
            signal.pause()
        pids.append(pid)
        assert os.read(read, 1) == b"x"
    return pids


def processor_s(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def rss_mb(pid: int) -> float:
    """Return the memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
