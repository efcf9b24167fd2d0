"""The token exchange end to end over mutual TLS, with risk scoring on, on one core.

    python -m benchmarks.tokens [--rounds 5] [--seconds 5]

Envoy (one worker, mutual TLS 1.3) and the token service share one core; the load generator, which
is the identity provider too, has the other. Every request carries an access token of its own, so
that no signature is remembered; histories are kept for 2,000 subjects. The baseline of each round
is the same Envoy with an answer of its own (bare mutual TLS). Also: what one token costs in all
with each algorithm, signed once and verified at six hops.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from benchmarks.client import REPOSITORY
from benchmarks.machine import describe_machine
from benchmarks.process import running, wait_for
from benchmarks.proxy import _cluster, _free_ports, _is_serving, _listener, _tls
from benchmarks.token_load import TokenJob, TokenOutcome, measured
from benchmarks.token_server import DOMAIN, GATEWAY
from meshwarden.adapters.envoy.bootstrap import find_envoy
from meshwarden.identity import Authority, Svid, create_authority, create_root, issue_svid
from meshwarden.kernel import SpiffeId
from meshwarden.tokens.jws import parse_compact, sign_compact, verify_signature
from meshwarden.tokens.keys import create_key

HOPS: Final = 6
TARGET_PER_S: Final = 1500
TARGET_P99_MS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What runs: ports of both listeners, files, processes."""

    exchange: int
    bare: int
    provider: int
    bundle: str
    certificate: Path
    processes: dict[str, int]


def main() -> int:
    """Run the benchmark and print its report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, default=500.0)
    options = parser.parse_args()
    machine = describe_machine()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="mw-") as name, serving(Path(name), cores[-1]) as bench:
        rounds = [one_round(bench, options, cores[0]) for _ in range(options.rounds)]
    print(
        json.dumps(
            {"machine": machine, "exchange": summary(rounds), "algorithms": algorithms()}, indent=1
        )
    )
    return 0


@contextmanager
def serving(directory: Path, core: int) -> Iterator[Bench]:
    """Run token service and Envoy on `core`."""
    now = datetime.now(UTC)
    root = create_root(DOMAIN, now=now, serial=x509.random_serial_number())
    authority = create_authority(root, now=now, serial=x509.random_serial_number())
    server = SpiffeId.parse(f"spiffe://{DOMAIN}/token-service")
    svids = [
        issue_svid(authority, identity, now=now, serial=x509.random_serial_number())
        for identity in (server, GATEWAY)
    ]
    certificate = directory / "gateway.pem"
    certificate.write_text(svids[1].private_key.reveal() + svids[1].certificate_chain)
    exchange, bare, provider = _free_ports(3)
    socket, log = directory / "token.sock", directory / "server.log"
    command = [
        sys.executable, "-m", "benchmarks.token_server", str(directory / "tokens.sqlite"),
        str(socket), f"http://127.0.0.1:{provider}", str(core),
    ]  # fmt: skip
    config = directory / "envoy.json"
    config.write_text(json.dumps(_envoy(authority, svids[0], exchange, bare, socket)))
    envoy = [str(find_envoy()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
    with (
        running(command, core=core, log=log, directory=REPOSITORY) as service,
        running(envoy, core=core, log=directory / "envoy.log") as proxy,
    ):
        wait_for(socket.exists, service, what="the token service", log=log)
        wait_for(
            lambda: _is_serving(directory / "envoy.log"),
            proxy,
            what="Envoy",
            log=directory / "envoy.log",
        )
        yield Bench(
            exchange=exchange,
            bare=bare,
            provider=provider,
            bundle=authority.bundle.pem,
            certificate=certificate,
            processes={"service": service.pid, "envoy": proxy.pid},
        )


def _envoy(
    authority: Authority, svid: Svid, exchange: int, bare: int, socket: Path
) -> dict[str, Any]:
    tls = _tls(authority, svid)
    route: dict[str, Any] = {"route": {"cluster": "token-service"}}
    answer: dict[str, Any] = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    listeners = [
        _listener("exchange", exchange, route, authorization=None, tls=tls),
        _listener("bare", bare, answer, authorization=None, tls=tls),
    ]
    for listener in listeners:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["forward_client_cert_details"] = "SANITIZE_SET"
        manager["set_current_client_cert_details"] = {"uri": True, "cert": True}
    clusters = [_cluster("token-service", socket, http2=False)]
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def one_round(bench: Bench, options: argparse.Namespace, core: int) -> dict[str, TokenOutcome]:
    """Return bare throughput, exchange throughput, and latency at an even rate."""

    def job(port: int, rate_per_s: float) -> TokenOutcome:
        return measured(TokenJob(
            port=port, provider_port=bench.provider, bundle=bench.bundle,
            certificate=str(bench.certificate), connections=options.connections, warm_up_s=1.5,
            seconds=options.seconds, rate_per_s=rate_per_s, processes=bench.processes, core=core,
            bare=port == bench.bare,
        ))  # fmt: skip

    return {
        "bare": job(bench.bare, 0),
        "exchange": job(bench.exchange, 0),
        "open": job(bench.exchange, options.rate),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return the median, the least and the greatest."""
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "greatest": round(max(values), 2),
    }


def summary(rounds: list[dict[str, TokenOutcome]]) -> dict[str, Any]:
    """Return medians with the least and the greatest."""
    closed = [one["exchange"] for one in rounds]
    opened = [one["open"] for one in rounds]
    rates = [one.requests / one.seconds for one in closed]
    p99 = [one.latency_ms["p99"] for one in opened]

    def processor_us(name: str) -> list[float]:
        return [one.processor_s[name] / one.requests * 1e6 for one in closed]

    busy = [
        1e6 / sum(pair) for pair in zip(processor_us("service"), processor_us("envoy"), strict=True)
    ]
    bare = [one["bare"].requests / one["bare"].seconds for one in rounds]
    return {
        "tokens per second": spread(rates),
        "tokens per second of processor time": spread(busy),
        "service us per token": spread(processor_us("service")),
        "envoy us per token": spread(processor_us("envoy")),
        "bare mutual TLS per second": spread(bare),
        "p50 ms at even rate": spread([one.latency_ms["p50"] for one in opened]),
        "p99 ms at even rate": spread(p99),
        "unanswered at even rate": sum(one.unanswered for one in opened),
        "cores used by others": spread([one.processor_s["others"] / one.seconds for one in closed]),
        "targets": {
            f"{TARGET_PER_S} tokens/s": statistics.median(rates) >= TARGET_PER_S,
            f"p99 {TARGET_P99_MS} ms": statistics.median(p99) <= TARGET_P99_MS,
        },
    }  # fmt: skip


def algorithms(number: int = 1500) -> dict[str, dict[str, float]]:
    """Return for each algorithm, in microseconds: signature, verification, one and six in all."""
    claims = {"sub": "8f21", "scope": "transfer:write", "txn": "0" * 32, "req_wl": str(GATEWAY)}
    found = {}
    for name in ("ES256", "EdDSA", "RS256"):
        key = create_key(datetime.now(UTC), algorithm=name)
        start = time.perf_counter()
        for _ in range(number):
            token = sign_compact(claims, key.jose, algorithm=name, kid=key.kid, typ="txntoken+jwt")
        signed = (time.perf_counter() - start) / number * 1e6
        parsed, public = parse_compact(token), key.public
        start = time.perf_counter()
        for _ in range(number):
            verify_signature(parsed, public)
        verified = (time.perf_counter() - start) / number * 1e6
        found[name] = {
            "sign us": round(signed, 1),
            "verify us": round(verified, 1),
            f"one signature and {HOPS} verifications us": round(signed + HOPS * verified, 1),
            "octets": len(token.reveal()),
        }
    return found


if __name__ == "__main__":
    sys.exit(main())
