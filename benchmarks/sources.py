"""How fast logs become calls, on one core: lines per second from octets to Arrow batches.

`python -m benchmarks.sources [--lines N] [--rounds N]`

Each format's lines go through `open_source`, as `calls import` does it: sniffing, decoding,
duplicates, routes, batches of CALL_SCHEMA; nothing is written. In the same rounds, in turn, four
ways of merely parsing the same Envoy lines: `msgspec`, which is in use, the standard library's
`json`, which reads what that refuses, `pyarrow.json` and DuckDB's `read_json` (both on one thread).
They check nothing and name nobody; the last two give up the whole file or whole columns at the
first odd line. Time is the process's own (all its threads), the median of the rounds.
"""

import argparse
import io
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.json as pa_json

from meshwarden.control.sources import open_source

_START = 1_795_453_200
_SERVICES = ("payments", "ledger", "statements", "limits", "risk", "notifications")


def _envoy(number: int) -> dict[str, object]:
    callee = _SERVICES[number % 6]
    return {
        "start_time": _time(number), "method": "GET", "protocol": "HTTP/2", "response_code": 200,
        "path": f"/v1/accounts/{number * 7919 % 1_000_003}/entries?from=2026-01-01",
        "response_flags": "-", "response_code_details": "via_upstream",
        "connection_termination_details": None, "upstream_transport_failure_reason": None,
        "bytes_received": 0, "bytes_sent": number % 5000, "duration": number % 40,
        "upstream_service_time": "3", "x_forwarded_for": None, "user_agent": "payments/1.4",
        "request_id": f"{number:08x}-1c4a-4a0e-9f0e-6a2b0a4f9c11", "authority": f"{callee}:8443",
        "upstream_host": f"10.0.1.{number % 250}:8443",
        "downstream_remote_address": f"10.0.2.{number % 250}:{30_000 + number % 20_000}",
        "downstream_local_address": "10.0.1.1:8443",
        "downstream_peer_uri_san": f"spiffe://bank.example/ns/core/sa/{_SERVICES[number % 5]}",
        "downstream_local_uri_san": f"spiffe://bank.example/ns/core/sa/{callee}",
    }  # fmt: skip


def _istio(number: int) -> dict[str, object]:
    callee = _SERVICES[number % 6]
    return _envoy(number) | {
        "upstream_cluster": f"outbound|8443||{callee}.core.svc.cluster.local",
        "upstream_local_address": "10.0.2.1:40404",
        "requested_server_name": None,
        "route_name": "default",
    }


def _linkerd(number: int) -> dict[str, object]:
    return {
        "client.addr": f"10.42.0.{number % 250}:32996", "host": f"{_SERVICES[number % 6]}:8080",
        "client.id": f"{_SERVICES[number % 5]}.core.serviceaccount.identity.linkerd.cluster.local",
        "method": "POST", "processing_ns": "39826", "request_bytes": "38", "response_bytes": "12",
        "status": 200, "timestamp": _time(number), "total_ns": str(1_000_000 + number),
        "trace_id": "", "uri": f"http://payments:8080/refunds/{number}", "user_agent": "grpc-go",
        "version": "HTTP/2.0",
    }  # fmt: skip


def _zeek(number: int) -> dict[str, object]:
    return {
        "ts": _START + number / 1000, "uid": f"C{number}", "id.orig_h": f"10.0.0.{number % 250}",
        "id.orig_p": 30_000 + number % 20_000, "id.resp_h": f"10.0.1.{number % 50}",
        "id.resp_p": 443, "proto": "tcp", "duration": 0.25, "orig_bytes": 517, "resp_bytes": 3120,
        "conn_state": "SF", "local_orig": True, "local_resp": True, "history": "ShADadFf",
    }  # fmt: skip


def _time(number: int) -> str:
    moment = time.gmtime(_START + number // 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{number % 1000:03d}Z"


def write_envoy_log(path: Path, lines: int) -> None:
    """Write a log of an Envoy as an operator may have configured it, a request a line."""
    with path.open("w") as log:
        log.writelines(json.dumps(_envoy(n)) + "\n" for n in range(lines))


def _logs(folder: Path, lines: int) -> dict[str, Path]:
    makers = {
        "envoy-json": _envoy,
        "istio-json": _istio,
        "linkerd-json": _linkerd,
        "zeek-json": _zeek,
    }
    paths = {}
    for name, make in makers.items():
        paths[name] = folder / f"{name}.log"
        paths[name].write_text("".join(json.dumps(make(n)) + "\n" for n in range(lines)))
    return paths


def _import(path: Path, lines: int) -> None:
    found = sum(batch.num_rows for batch in open_source([path]))
    assert found == lines, f"{found} of {lines} lines became calls"


def _json(path: Path) -> None:
    for line in path.read_bytes().splitlines():
        json.loads(line)


def _msgspec(path: Path) -> None:
    decoder = msgspec.json.Decoder()
    for line in path.read_bytes().splitlines():
        decoder.decode(line)


def _arrow(path: Path) -> None:
    options = pa_json.ReadOptions(use_threads=False)
    pa_json.read_json(io.BytesIO(path.read_bytes()), read_options=options)


def _duckdb(path: Path) -> None:
    connection = duckdb.connect(config={"threads": 1})
    connection.read_json(str(path), format="newline_delimited").to_arrow_table()


def _rate(work: Callable[[], None], lines: int) -> float:
    begun = time.process_time()
    work()
    return lines / (time.process_time() - begun)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        logs = _logs(Path(folder), chosen.lines)
        envoy = logs["envoy-json"]
        works: dict[str, Callable[[], None]] = {
            **{f"calls from {n}": partial(_import, p, chosen.lines) for n, p in logs.items()},
            "parse alone: msgspec": lambda: _msgspec(envoy),
            "parse alone: json": lambda: _json(envoy),
            "parse alone: pyarrow.json": lambda: _arrow(envoy),
            "parse alone: duckdb": lambda: _duckdb(envoy),
        }
        rates: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(chosen.rounds):
            for name, work in works.items():
                rates[name].append(_rate(work, chosen.lines))
        octets = envoy.stat().st_size / chosen.lines
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()},")
    print(f"{chosen.lines:,} lines a round, {chosen.rounds} rounds, {octets:.0f} octets a line\n")
    print("| what | lines/s, median | lowest | highest |\n|---|---:|---:|---:|")
    for name, found in rates.items():
        print(
            f"| {name} | {statistics.median(found):,.0f} | {min(found):,.0f} | {max(found):,.0f} |"
        )


if __name__ == "__main__":
    main()
