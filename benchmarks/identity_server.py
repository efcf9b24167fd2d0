"""The token exchange beside a general identity server's: Keycloak, on the same core, by turns.

    python -m benchmarks.identity_server --keycloak DIR [--rounds 3] [--seconds 5]

DIR is an unpacked Keycloak (26.2 or later, from Maven's org.keycloak:keycloak-quarkus-dist, with
Java 17 or later); without one nothing is measured, and that is said. Both exchange an access token
for another (RFC 8693) for a client that authenticates by mutual TLS 1.3, every request with a token
of its own, as far as 3,000 go. What differs: Keycloak ends TLS itself, keeps its state in H2, signs
with RS256 as it ships and weighs no risk; ours signs with ES256, weighs each request, and has Envoy
end TLS, on the same core.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from benchmarks.identity_server_keys import Keys, make_keys
from benchmarks.machine import describe_machine
from benchmarks.process import resident_mib, running, wait_for
from benchmarks.proxy import _free_ports
from benchmarks.token_load import TokenJob, TokenOutcome, measured
from benchmarks.tokens import serving, spread

SUBJECT_TOKENS: Final = 3000
WARM_UP_S: Final = 20.0
CONNECTIONS: Final = 32
EVEN_RATE_PER_S: Final = 50.0
START_S: Final = 300.0
ENDPOINT: Final = "/realms/bench/protocol/openid-connect/token"
REALM: Final[dict[str, Any]] = {
    "realm": "bench",
    "enabled": True,
    "accessTokenLifespan": 3600,
    "clients": [
        {
            "clientId": "app",
            "clientAuthenticatorType": "client-x509",
            "attributes": {"x509.subjectdn": "CN=app"},
            "serviceAccountsEnabled": True,
            "standardFlowEnabled": False,
            "protocolMappers": [
                {
                    "name": "audience",
                    "protocol": "openid-connect",
                    "protocolMapper": "oidc-audience-mapper",
                    "config": {"included.client.audience": "gateway", "access.token.claim": "true"},
                }
            ],
        },
        {
            "clientId": "gateway",
            "clientAuthenticatorType": "client-x509",
            "attributes": {
                "x509.subjectdn": "CN=gateway",
                "standard.token.exchange.enabled": "true",
            },
            "standardFlowEnabled": False,
        },
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What is asked: a job that needs only its rate and times, and whose memory counts."""

    name: str
    job: TokenJob
    processes: dict[str, int]


def main() -> int:
    """Run the benchmark and print its report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keycloak", type=Path, default=os.environ.get("KEYCLOAK_HOME"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    if options.keycloak is None or not (Path(options.keycloak) / "bin/kc.sh").exists():
        print("not measured: no Keycloak (--keycloak DIR or KEYCLOAK_HOME)", file=sys.stderr)
        return 0
    machine = describe_machine()
    client_core, *_, core = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="mw-") as name, _ours(Path(name), core) as ours:
        measured(_job(ours, seconds=2.0, core=client_core))
        with _keycloak(Path(options.keycloak), Path(name), core) as keycloak:
            measured(_job(keycloak, seconds=WARM_UP_S, core=client_core))
            found = [
                {one.name: _round(one, options.seconds, client_core) for one in (keycloak, ours)}
                for _ in range(options.rounds)
            ]
            memory = {
                one.name: round(sum(resident_mib(pid) for pid in one.processes.values()))
                for one in (keycloak, ours)
            }
    print(json.dumps({"machine": machine, "exchange": summary(found, memory)}, indent=1))
    return 0


@contextmanager
def _ours(directory: Path, core: int) -> Iterator[Server]:
    with serving(directory, core) as bench:
        job = TokenJob(
            port=bench.exchange, provider_port=bench.provider, bundle=bench.bundle,
            certificate=str(bench.certificate), connections=CONNECTIONS, warm_up_s=1.0,
            seconds=0.0, rate_per_s=0.0, processes=bench.processes, core=0,
        )  # fmt: skip
        yield Server(name="meshwarden", job=job, processes=bench.processes)


@contextmanager
def _keycloak(home: Path, directory: Path, core: int) -> Iterator[Server]:
    """Run Keycloak on `core`, with subject tokens at hand."""
    keys = make_keys(directory, now=datetime.now(UTC))
    realm = directory / "realm.json"
    realm.write_text(json.dumps(REALM))
    port, provider_port, management = _free_ports(3)
    database = [f"--db-url=jdbc:h2:file:{directory}/keycloak;NON_KEYWORDS=VALUE", "--db=dev-file"]
    kc = str(home / "bin/kc.sh")
    done = subprocess.run(
        [kc, "import", "--file", str(realm), *database],
        capture_output=True, text=True, timeout=START_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"Keycloak took no realm: {done.stdout[-500:]}")
    command = [
        kc, "start", *database, "--cache=local", "--hostname-strict=false",
        "--http-host=127.0.0.1", f"--https-port={port}", f"--http-management-port={management}",
        f"--https-certificate-file={keys.server}", f"--https-certificate-key-file={keys.server}",
        "--https-client-auth=request", f"--truststore-paths={keys.bundle}",
        "--https-protocols=TLSv1.3",
    ]  # fmt: skip
    log = directory / "keycloak.log"
    with running(command, core=core, log=log) as process:
        wait_for(
            lambda: " started in " in log.read_text(errors="replace"), process, what="Keycloak",
            log=log, patience_s=START_S,
        )  # fmt: skip
        requests = directory / "requests.json"
        requests.write_text(json.dumps(_requests(keys, port)))
        processes = {"service": process.pid}
        job = TokenJob(
            port=port, provider_port=provider_port, bundle=keys.bundle.read_text(),
            certificate=str(keys.gateway), connections=CONNECTIONS, warm_up_s=1.0, seconds=0.0,
            rate_per_s=0.0, processes=processes, core=0, requests=str(requests),
        )  # fmt: skip
        yield Server(name="Keycloak", job=job, processes=processes)


def _requests(keys: Keys, port: int) -> list[str]:
    """Return exchanges, each of an access token that Keycloak issued for it."""
    url = f"https://127.0.0.1:{port}{ENDPOINT}"
    found = []
    with httpx.Client(verify=keys.context(keys.app), trust_env=False, timeout=30.0) as client:
        for _ in range(SUBJECT_TOKENS):
            form = {"grant_type": "client_credentials", "client_id": "app"}
            answer = client.post(url, data=form).raise_for_status()
            found.append(_exchange(answer.json()["access_token"], port))
    return found


def _exchange(token: str, port: int) -> str:
    kind = "urn:ietf:params:oauth:token-type:access_token"
    body = urlencode(
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "client_id": "gateway",
            "subject_token": token,
            "subject_token_type": kind,
            "requested_token_type": kind,
        }
    )
    return (
        f"POST {ENDPOINT} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        "content-type: application/x-www-form-urlencoded\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )


def _job(server: Server, *, seconds: float, core: int, rate_per_s: float = 0.0) -> TokenJob:
    """Return what to ask of a server."""
    return replace(server.job, seconds=seconds, core=core, rate_per_s=rate_per_s)


def _round(server: Server, seconds: float, core: int) -> dict[str, TokenOutcome]:
    return {
        "closed": measured(_job(server, seconds=seconds, core=core)),
        "open": measured(_job(server, seconds=seconds, core=core, rate_per_s=EVEN_RATE_PER_S)),
    }


def summary(
    rounds: list[dict[str, dict[str, TokenOutcome]]], memory: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """Return for each server medians with the least and the greatest."""
    return {
        name: {
            "tokens per second": spread([_rate(one[name]["closed"]) for one in rounds]),
            f"p50 ms at {EVEN_RATE_PER_S:g}/s": spread(_latency(rounds, name, "p50")),
            f"p99 ms at {EVEN_RATE_PER_S:g}/s": spread(_latency(rounds, name, "p99")),
            "resident MiB": memory[name],
        }
        for name in memory
    }


def _rate(outcome: TokenOutcome) -> float:
    return outcome.requests / outcome.seconds


def _latency(
    rounds: list[dict[str, dict[str, TokenOutcome]]], name: str, point: str
) -> list[float]:
    return [one[name]["open"].latency_ms[point] for one in rounds]


if __name__ == "__main__":
    sys.exit(main())
