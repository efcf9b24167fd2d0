"""How soon a request is on record, and what that costs: the local file against the stream.

    python -m benchmarks.access_log [--rounds N] [--requests N]

Variants, all with the sidecars' format of inbound requests: no log; the file as Envoy buffers it by
default, and as our sidecars are started; the gRPC access log stream (`AccessLogService`) flushed
every 50 ms, and at every entry. Each round visits every variant, in an order that turns. One client
sends one request after the other; `delay` is from the end of the response to the entry being there
to read, `processor` is Envoy's processor time for each request. Shown are medians over the rounds,
with the least and the greatest round.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from benchmarks.machine import describe_machine
from meshwarden.adapters.envoy.accesslog import ENVOY_LOG_FLAGS, inbound_http

ENVOY: Final = Path(sys.executable).with_name("envoy")
EXTENSIONS: Final = "type.googleapis.com/envoy.extensions."
REQUEST: Final = b"GET /v1/x HTTP/1.1\r\nhost: a\r\n\r\n"
DELAYS: Final = 100
VARIANTS: Final[dict[str, tuple[dict[str, Any] | None, tuple[str, ...]]]] = {
    "no log": (None, ()),
    "file, Envoy's default": ({}, ()),
    "file, as our sidecars": ({}, ENVOY_LOG_FLAGS),
    "stream, every 50 ms": ({"buffer_flush_interval": "0.05s"}, ()),
    "stream, every entry": ({"buffer_flush_interval": "0.05s", "buffer_size_bytes": 1}, ()),
}


class Stream(als_pb2_grpc.AccessLogServiceServicer):  # type: ignore[misc]  # no types
    """Counts the entries that arrive."""

    def __init__(self) -> None:
        self.entries = 0

    async def StreamAccessLogs(  # noqa: N802
        self, request_iterator: AsyncIterator[Message], _: object
    ) -> Message:
        """Take one proxy's entries."""
        async for message in request_iterator:
            self.entries += len(message.http_logs.log_entry)  # type: ignore[attr-defined]
        answer: Message = als_pb2.StreamAccessLogsResponse()
        return answer


def main() -> int:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--requests", type=int, default=4000)
    chosen = arguments.parse_args()
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    names = list(VARIANTS)
    for round_number in range(chosen.rounds):
        for name in names[round_number % len(names) :] + names[: round_number % len(names)]:
            results[name].append(_measure(name, chosen.requests))
    for what, value in describe_machine().items():
        print(f"{what}: {value}")
    print(f"{chosen.rounds} rounds, {chosen.requests} requests each")
    for name, found in results.items():
        delay = _spread([each[0] for each in found], "ms", 3) if name != "no log" else "-"
        print(f"{name:24}  delay {delay:34}  processor {_spread([e[1] for e in found], 'us', 0)}")
    return 0


def _measure(name: str, requests: int) -> tuple[float, float]:
    """Return the median delay in milliseconds, and microseconds of processor time per request."""
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder), name) as running:
        connection, process, seen = running
        delays = []
        for _ in range(DELAYS if name != "file, Envoy's default" else 1):
            before = seen()
            _ask(connection)
            answered = time.perf_counter()
            while name != "no log" and seen() == before and time.perf_counter() < answered + 15:
                os.sched_yield()
            delays.append((time.perf_counter() - answered) * 1000)
        begin = _processor_s(process.pid)
        for _ in range(requests):
            _ask(connection)
        return statistics.median(delays), (_processor_s(process.pid) - begin) / requests * 1e6


@contextmanager
def _running(
    folder: Path, name: str
) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes], Callable[[], int]]]:
    options, flags = VARIANTS[name]
    log, stream = folder / "access.log", Stream()
    log.touch()
    stop = _serve(folder / "stream.sock", stream) if name.startswith("stream") else None
    (folder / "envoy.json").write_text(json.dumps(_config(folder, name, options)))
    command = [
        str(ENVOY),
        "-c",
        str(folder / "envoy.json"),
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
    ]
    process = subprocess.Popen([*command, "-l", "off", *flags])
    try:
        connection = _connected(folder / "in.sock")
        _ask(connection)
        yield connection, process, lambda: stream.entries if stop else log.stat().st_size
        connection.close()
    finally:
        process.kill()
        process.wait()
        if stop:
            stop()


def _config(folder: Path, name: str, options: dict[str, Any] | None) -> dict[str, Any]:
    logs: list[Any] = []
    if name.startswith("file"):
        message = inbound_http(str(folder / "access.log"))
        logs = [MessageToDict(message, preserving_proto_field_name=True)]
    elif options is not None:
        service = {"envoy_grpc": {"cluster_name": "stream"}}
        common = {"log_name": "in", "transport_api_version": "V3", "grpc_service": service}
        kind = "access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
        logs = [_extension(kind, common_config=common | options)]
    answer = {"status": 200, "body": {"inline_string": "ok"}}
    route = {"match": {"prefix": "/"}, "direct_response": answer}
    hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
    manager = _extension(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="in",
        access_log=logs,
        route_config={"virtual_hosts": hosts},
        http_filters=[_extension("filters.http.router.v3.Router")],
    )
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": EXTENSIONS + "upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    endpoint = {"endpoint": {"address": _pipe(folder / "stream.sock")}}
    load = {"cluster_name": "stream", "endpoints": [{"lb_endpoints": [endpoint]}]}
    cluster = {"name": "stream", "type": "STATIC", "load_assignment": load}
    listener = {"name": "in", "address": _pipe(folder / "in.sock")}
    chains = {"filter_chains": [{"filters": [manager]}]}
    return {
        "static_resources": {
            "listeners": [listener | chains],
            "clusters": [cluster | {"typed_extension_protocol_options": http2}],
        }
    }


def _serve(path: Path, stream: Stream) -> Callable[[], None]:
    """Serve the stream in a thread; return what stops it."""
    loop = asyncio.new_event_loop()
    done = asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        als_pb2_grpc.add_AccessLogServiceServicer_to_server(stream, server)
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        ready.set()
        await done.wait()
        await server.stop(grace=0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()

    def stop() -> None:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()

    return stop


def _connected(path: Path) -> socket.socket:
    deadline = time.perf_counter() + 20
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.02)
        else:
            return connection


def _ask(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\nok" not in answer:
        answer += connection.recv(4096)


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _spread(values: list[float], unit: str, digits: int) -> str:
    least, most = min(values), max(values)
    middle = statistics.median(values)
    return f"{middle:.{digits}f} {unit} ({least:.{digits}f} to {most:.{digits}f})"


def _extension(kind: str, **fields: object) -> dict[str, Any]:
    return {"name": kind, "typed_config": {"@type": EXTENSIONS + kind, **fields}}


def _pipe(path: Path) -> dict[str, Any]:
    return {"pipe": {"path": str(path)}}


if __name__ == "__main__":
    sys.exit(main())
