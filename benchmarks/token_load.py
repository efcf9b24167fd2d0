"""Load on the token endpoint: HTTP/1.1 over mutual TLS, every request with a token of its own.

Run as `python -m benchmarks.token_load` with a `TokenJob` as JSON on stdin; it is the identity
provider as well, whose keys the service fetches from it. Closed loop (`rate_per_s` 0) or open loop,
as in `benchmarks.load`; any answer but 200 ends it.
"""

import asyncio
import gc
import json
import os
import ssl
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from benchmarks.client import REPOSITORY
from benchmarks.load import client_context
from benchmarks.process import machine_seconds, processor_seconds
from benchmarks.token_server import AUDIENCE, DOMAIN
from meshwarden.tokens import SigningKey, create_key, render_jwks
from meshwarden.tokens.jws import sign_compact

SUBJECTS = 2000
GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenJob:
    """What to send, and what to watch.

    Attributes:
        port: of the proxy.
        provider_port: where to serve the identity provider's keys.
        bundle: PEM of the root of the proxy's certificate.
        certificate: file of the caller's key and chain.
        connections: how many to open.
        warm_up_s: seconds before the measurement.
        seconds: its length.
        rate_per_s: of an open loop; 0 = closed.
        processes: process ids by name.
        core: to run on.
        bare: send requests without a body, which the proxy answers by itself.
        requests: file of a JSON array of the requests to send instead of our own.
    """

    port: int
    provider_port: int
    bundle: str
    certificate: str
    connections: int
    warm_up_s: float
    seconds: float
    rate_per_s: float
    processes: Mapping[str, int]
    core: int
    bare: bool = False
    requests: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOutcome:
    """What came of it; times as in `benchmarks.load.Outcome`."""

    requests: int
    seconds: float
    processor_s: dict[str, float]
    latency_ms: dict[str, float] = field(default_factory=dict)
    unanswered: int = 0


def make_requests(key: SigningKey, issuer: str, number: int) -> list[bytes]:
    """Return that many requests, each with an access token of its own."""
    now = int(time.time())
    found = []
    for index in range(number):
        claims = {
            "iss": issuer, "aud": AUDIENCE, "sub": f"customer-{index % SUBJECTS}",
            "client_id": "app", "jti": str(index), "iat": now, "exp": now + 3600, "acr": "mfa",
            "auth_time": now, "sid": f"session-{index}", "scope": "transfer:write openid",
        }  # fmt: skip
        token = sign_compact(claims, key.jose, algorithm="ES256", kid=key.kid, typ="at+jwt")
        context = {
            "req_ip": f"203.0.{index % 200}.{index % 250}",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0 Safari/537.36",
            "ja4": "t13d1516h2_8daaf6152771_b186095e22b6",
        }
        body = urlencode(
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "requested_token_type": "urn:ietf:params:oauth:token-type:txn_token",
                "audience": DOMAIN,
                "scope": "transfer:write",
                "subject_token": token.reveal(),
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "request_context": json.dumps(context),
                "request_details": json.dumps({"amount_minor": 4200 + index, "payee": "x"}),
            }
        ).encode()
        head = (
            "POST /token HTTP/1.1\r\nhost: token-service\r\n"
            "content-type: application/x-www-form-urlencoded\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found


class _Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._received = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        if head[9:12] != b"200":
            raise SystemExit(f"the service answered {head[:60]!r} {body[:200]!r}")
        self._received = b""
        self._load.answered(self)


class _Load:
    """The lines and the requests that they send in turn."""

    def __init__(self, requests: list[bytes]) -> None:
        self._requests = requests
        self._next = 0
        self._open = False
        self.lines: list[_Line] = []
        self.idle: deque[_Line] = deque()
        self.count = 0
        self.latencies: list[float] = []

    async def connect(self, job: TokenJob, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(job.connections):
            _, line = await loop.create_connection(
                lambda: _Line(self), "127.0.0.1", job.port, ssl=context, server_hostname="x"
            )
            self.lines.append(line)

    def send(self, line: _Line) -> None:
        line.transport.write(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)

    def answered(self, line: _Line) -> None:
        self.count += 1
        if self._open:
            self.latencies.append(time.perf_counter() - line.due)
            self.idle.append(line)
        else:
            self.send(line)

    async def closed(self, seconds: float) -> int:
        before = self.count
        await asyncio.sleep(seconds)
        return self.count - before

    async def opened(self, rate_per_s: float, seconds: float) -> tuple[list[float], int]:
        self._open = True
        self.idle.extend(line for line in self.lines if line not in self.idle)
        self.latencies = []
        start, sent, due = time.perf_counter(), 0, 0.0
        waiting: deque[float] = deque()
        while (now := time.perf_counter()) < start + seconds + GRACE_S:
            while (due := start + sent / rate_per_s) <= now and due < start + seconds:
                waiting.append(due)
                sent += 1
            while waiting and self.idle:
                line = self.idle.popleft()
                line.due = waiting.popleft()
                self.send(line)
            if now >= start + seconds and len(self.latencies) >= sent:
                break
            await asyncio.sleep(0.0002)
        return self.latencies, sent - len(self.latencies)


def measured(job: TokenJob) -> TokenOutcome:
    """Have a process of its own do the job; SystemExit where it stopped."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.token_load"], cwd=REPOSITORY,
        input=json.dumps(asdict(job)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"the load generator stopped: {done.stderr[-500:]}")
    return TokenOutcome(**json.loads(done.stdout))


async def run(job: TokenJob) -> TokenOutcome:
    """Do the job."""
    issuer = f"http://127.0.0.1:{job.provider_port}"
    key = create_key(datetime.now(UTC))
    jwks = render_jwks([key.public]).encode()

    async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        document = json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}).encode()
        body = jwks if b"/jwks" in head else document
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(provide, "127.0.0.1", job.provider_port)
    load = _Load(_requests(job, key, issuer))
    context = client_context(job.certificate, job.bundle)
    async with server:
        await load.connect(job, context)
        gc.collect()
        gc.disable()  # a collection would look like a slow service
        if job.rate_per_s:
            await load.opened(job.rate_per_s, job.warm_up_s)
            before, start = _used(job), time.perf_counter()
            latencies, unanswered = await load.opened(job.rate_per_s, job.seconds)
            names = ("p50", "p90", "p99", "p99.9")
            points = np.percentile(np.array(latencies) * 1e3, [50, 90, 99, 99.9]).tolist()
            found = dict(zip(names, points, strict=True))
            requests = len(latencies)
        else:
            for line in load.lines:
                load.send(line)
            while load.count < SUBJECTS:  # from here on, every subject has a history
                await load.closed(job.warm_up_s)
            before, start = _used(job), time.perf_counter()
            requests, unanswered, found = await load.closed(job.seconds), 0, {}
        seconds = time.perf_counter() - start
        used = {name: now - before[name] for name, now in _used(job).items()}
    used["others"] = max(0.0, used.pop("machine") - sum(used.values()))
    return TokenOutcome(
        requests=requests, seconds=seconds, processor_s=used, latency_ms=found,
        unanswered=unanswered,
    )  # fmt: skip


def _requests(job: TokenJob, key: SigningKey, issuer: str) -> list[bytes]:
    if job.bare:
        return [b"GET / HTTP/1.1\r\nhost: token-service\r\n\r\n"]
    if job.requests:
        return [one.encode() for one in json.loads(Path(job.requests).read_text())]
    number = int((job.rate_per_s or 3000) * (job.warm_up_s + job.seconds)) + SUBJECTS
    return make_requests(key, issuer, number)


def _used(job: TokenJob) -> dict[str, float]:
    watched = {name: processor_seconds(pid) for name, pid in job.processes.items()}
    return watched | {"client": processor_seconds(os.getpid()), "machine": machine_seconds()}


def main() -> None:
    """Read a job, do it, print the outcome."""
    job = TokenJob(**json.load(sys.stdin))
    os.sched_setaffinity(0, {job.core})
    json.dump(asdict(asyncio.run(run(job))), sys.stdout)
    os._exit(0)


if __name__ == "__main__":
    main()
