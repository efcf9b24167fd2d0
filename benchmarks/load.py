"""A load generator: HTTP/1.1 over mutual TLS 1.3, one certificate for each caller.

Run as `python -m benchmarks.load` with a `Job` as JSON on stdin; prints an `Outcome` as JSON. It is
a process of its own, on a core that the proxy does not use. `wrk` has no client certificates,
`h2load` neither, `ab` sends one URL under one certificate; this sends every caller's own requests.

It also plays the application behind the proxy, in the same loop: a second process on the same core
would be measured as well, by the moments at which the kernel lets it run. Both together take some
15 microseconds a request, so that one core of it saturates one worker of Envoy.

- Closed loop (`rate_per_s` 0): each connection sends its next request when it has the answer.
- Open loop: requests are due at even intervals whether or not earlier ones were answered; a latency
  counts from when the request was due, so that a stalled proxy is not measured less often than a
  quick one (coordinated omission).

Any answer but 200 ends it: what refuses or fails is not compared with what works.
"""

import gc
import itertools
import json
import os
import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.process import machine_seconds, processor_seconds

GRACE_S = 5.0  # after the end, for what is still under way in an open loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send, and what to watch meanwhile.

    Attributes:
        port: of the proxy, on 127.0.0.1.
        application: Unix socket on which to answer what the proxy forwards; "" where it does not.
        bundle: PEM of the root that the proxy's certificate has to lead to.
        callers: for each caller the file of its key and chain, and its requests (`METHOD path`).
        connections: how many to open, dealt out to the callers in turn.
        warm_up_s: seconds of load before the measurement.
        seconds: length of the measurement.
        rate_per_s: requests a second in an open loop; 0 = closed loop.
        processes: process ids whose processor time to report, by name.
        core: the core to run on.
        tokens: transaction tokens, dealt out to the connections, each sends its own in turn.
        spin: look for events all the time in an open loop; only where nothing else needs the core.
    """

    port: int
    application: str
    bundle: str
    callers: Sequence[tuple[str, Sequence[str]]]
    connections: int
    warm_up_s: float
    seconds: float
    rate_per_s: float
    processes: Mapping[str, int]
    core: int
    spin: bool
    tokens: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        requests: answered within the measurement.
        seconds: its length.
        processor_s: processor seconds that each watched process used, `client` (this one), and
            `others`: whatever else runs on the machine.
        latency_ms: percentiles of the latency by name; empty in a closed loop.
        unanswered: requests that were due but not answered in time, in an open loop.
    """

    requests: int
    seconds: float
    processor_s: dict[str, float]
    latency_ms: dict[str, float] = field(default_factory=dict)
    unanswered: int = 0


class Connection:
    """One TLS connection and the requests that it sends in turn."""

    __slots__ = ("due", "next", "read", "requests", "socket", "write")

    def __init__(self, job: Job, context: ssl.SSLContext, requests: list[bytes]) -> None:
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", job.port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.read = self.socket.recv
        self.write = self.socket.send
        self.requests = requests
        self.next = 0
        self.due = 0.0

    def send(self) -> None:
        """Send the next request."""
        self.write(self.requests[self.next])
        self.next = (self.next + 1) % len(self.requests)

    def answered(self) -> bool:
        """Return whether the answer is there; a small one arrives in one piece."""
        try:
            answer = self.read(16384)
        except ssl.SSLWantReadError:
            return False
        if answer[9:12] != b"200" or not answer.endswith(b"\r\n\r\nok"):
            raise SystemExit(f"the proxy answered {answer[:200]!r}")
        return True


class Application:
    """What the proxy forwards to: answers `ok` to every request, all of which have no body."""

    ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    def __init__(self, path: str, poll: select.epoll) -> None:
        Path(path).unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1024)
        self._poll = poll
        self._connections: dict[int, socket.socket] = {}
        poll.register(self._listener.fileno(), select.EPOLLIN)

    def serve(self, descriptor: int) -> None:
        """Take a new connection, or answer what has arrived on one."""
        connection = self._connections.get(descriptor)
        if connection is None:
            accepted, _ = self._listener.accept()
            self._connections[accepted.fileno()] = accepted
            self._poll.register(accepted.fileno(), select.EPOLLIN)
            return
        received = connection.recv(65536)
        if received:
            connection.send(self.ANSWER * received.count(b"\r\n\r\n"))
        else:
            self._poll.unregister(descriptor)
            self._connections.pop(descriptor).close()


class Load:
    """All connections of one job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._application = Application(job.application, self._poll) if job.application else None
        contexts = [client_context(path, job.bundle) for path, _ in job.callers]
        for index in range(job.connections):
            caller = index % len(contexts)
            start = index // len(contexts) * 37  # connections of one caller start apart
            texts = job.callers[caller][1]
            own = [*texts[start:], *texts[:start]]
            held = itertools.cycle(job.tokens[index :: job.connections] or [""])
            requests = [render_request(one, token) for one, token in zip(own, held, strict=False)]
            connection = Connection(job, contexts[caller], requests)
            self._connections[connection.socket.fileno()] = connection
            self._poll.register(connection.socket.fileno(), select.EPOLLIN)

    def closed_loop(self) -> Outcome:
        """Keep every connection busy."""
        for connection in self._connections.values():
            connection.send()
        self._run_closed(self._job.warm_up_s)
        before, start = self._used(), time.perf_counter()
        requests = self._run_closed(self._job.seconds)
        seconds = time.perf_counter() - start
        return Outcome(requests=requests, seconds=seconds, processor_s=self._used_since(before))

    def open_loop(self) -> Outcome:
        """Send at an even rate."""
        self._run_open(self._job.warm_up_s)
        before, start = self._used(), time.perf_counter()
        latencies, unanswered = self._run_open(self._job.seconds)
        seconds = time.perf_counter() - start
        points = np.percentile(np.array(latencies) * 1e3, [50, 90, 99, 99.9])
        names = ["p50", "p90", "p99", "p99.9"]
        return Outcome(
            requests=len(latencies),
            seconds=seconds,
            processor_s=self._used_since(before),
            latency_ms=dict(zip(names, points.tolist(), strict=True)),
            unanswered=unanswered,
        )

    def _run_closed(self, seconds: float) -> int:
        count, connections, poll = 0, self._connections, self._poll.poll
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for descriptor, _ in poll(0.1):
                connection = connections.get(descriptor)
                if connection is None:
                    self._serve(descriptor)
                elif connection.answered():
                    count += 1
                    connection.send()
        return count

    def _run_open(self, seconds: float) -> tuple[list[float], int]:
        """Return the latencies in seconds, and how many requests were left without an answer."""
        connections, poll, clock = self._connections, self._poll.poll, time.perf_counter
        patience_s = 0 if self._job.spin else 0.001
        idle, waiting = deque(connections.values()), deque[float]()
        latencies: list[float] = []
        interval, start = 1 / self._job.rate_per_s, clock()
        end, due, sent = start + seconds, start, 0
        while (now := clock()) < end + GRACE_S and (now < end or len(latencies) < sent):
            while due <= now and due < end:
                waiting.append(due)
                sent += 1
                due = start + sent * interval
            while waiting and idle:
                connection = idle.popleft()
                connection.due = waiting.popleft()
                connection.send()
            for descriptor, _ in poll(patience_s):
                found = connections.get(descriptor)
                if found is None:
                    self._serve(descriptor)
                elif found.answered():
                    latencies.append(clock() - found.due)
                    idle.append(found)
        return latencies, sent - len(latencies)

    def _serve(self, descriptor: int) -> None:
        if self._application is not None:
            self._application.serve(descriptor)

    def _used(self) -> dict[str, float]:
        watched = {name: processor_seconds(pid) for name, pid in self._job.processes.items()}
        return watched | {"client": processor_seconds(os.getpid()), "machine": machine_seconds()}

    def _used_since(self, before: Mapping[str, float]) -> dict[str, float]:
        used = {name: now - before[name] for name, now in self._used().items()}
        machine = used.pop("machine")
        return used | {"others": max(0.0, machine - sum(used.values()))}


def client_context(path: str, bundle: str) -> ssl.SSLContext:
    """Return what a caller uses whose key and chain are in the file `path`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a SPIFFE ID is no host name; the root is checked
    context.load_verify_locations(cadata=bundle)
    context.load_cert_chain(path)
    return context


def render_request(request: str, token: str = "") -> bytes:
    """Return the octets of `METHOD path`, with a transaction token where there is one."""
    method, _, path = request.partition(" ")
    length = "content-length: 0\r\n" if method == "POST" else ""
    held = f"txn-token: {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\nhost: ledger\r\n{held}{length}\r\n".encode()


def main() -> None:
    """Read a job, do it, print the outcome."""
    job = Job(**json.load(sys.stdin))
    os.sched_setaffinity(0, {job.core})
    load = Load(job)
    gc.collect()
    gc.disable()  # a collection would look like a slow proxy
    outcome = load.open_loop() if job.rate_per_s else load.closed_loop()
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
