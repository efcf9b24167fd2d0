"""What a real Envoy writes, in its default text and as JSON, comes back as the calls that were made."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from meshwarden.adapters.storage.calls import load_calls
from meshwarden.control.sources import SourceOptions, open_source
from meshwarden.kernel import CALL_SCHEMA

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
ENVOY = Path(sys.executable).with_name("envoy")
TYPES = "type.googleapis.com/envoy.extensions."
JSON_FORMAT = {
    "start_time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%", "response_code": "%RESPONSE_CODE%", "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%", "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%", "duration": "%DURATION%", "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%", "upstream_host": "%UPSTREAM_HOST%", "grpc_status": "%GRPC_STATUS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "downstream_peer_uri_san": "%DOWNSTREAM_PEER_URI_SAN%",
}  # fmt: skip
PATHS = ["/v1/accounts/1234567?x=1", "/denied/1", '/v1/a"b']
AGENT = 'x" "id" "evil.example" "6.6.6.6:1'


def _log(path: Path, form: dict[str, Any]) -> dict[str, Any]:
    typed = {"@type": TYPES + "access_loggers.file.v3.FileAccessLog", "path": str(path), **form}
    return {"name": path.name, "typed_config": typed}


def _config(folder: Path) -> dict[str, Any]:
    denied = {
        "permissions": [{"url_path": {"path": {"prefix": "/denied"}}}],
        "principals": [{"any": True}],
    }
    rbac = {
        "@type": TYPES + "filters.http.rbac.v3.RBAC",
        "rules": {"action": "DENY", "policies": {"no-entry": denied}},
    }
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "hello"}},
    }
    manager = {
        "@type": TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "access_log": [_log(folder / "text.log", {}), _log(folder / "json.log", {"log_format": {"json_format": JSON_FORMAT}})],
        "route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": [answer]}]},
        "http_filters": [
            {"name": "rbac", "typed_config": rbac},
            {"name": "router", "typed_config": {"@type": TYPES + "filters.http.router.v3.Router"}},
        ],
    }  # fmt: skip
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    address = {"pipe": {"path": str(folder / "in.sock")}}
    return {
        "static_resources": {
            "listeners": [{"name": "in", "address": address, "filter_chains": [chain]}]
        }
    }


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "envoy.json").write_text(json.dumps(_config(tmp_path)))
    command = [str(ENVOY), "-c", str(tmp_path / "envoy.json"), "--use-dynamic-base-id", "--concurrency", "1",
               "--file-flush-interval-msec", "50", "-l", "error"]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        _wait_for(tmp_path / "in.sock")
        yield tmp_path
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(path: Path) -> None:
    """Return once somebody listens at `path`; the test's time-out bounds it."""
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        threading.Event().wait(0.05)


def _ask(folder: Path) -> None:
    transport = httpx.HTTPTransport(uds=str(folder / "in.sock"))
    with httpx.Client(transport=transport, base_url="http://ledger:8443") as client:
        for path in PATHS:
            client.get(path, headers={"user-agent": AGENT, "x-forwarded-for": "8.8.8.8"})


@pytest.mark.parametrize("name", ["text.log", "json.log"])
def test_a_real_envoys_log_is_followed(envoy: Path, name: str) -> None:
    stop = threading.Event()
    source = open_source([envoy / name], options=SourceOptions(stop=stop, interval_s=0.05))
    _ask(envoy)
    batches: list[pa.RecordBatch] = []
    for batch in source:
        batches.append(batch)
        if sum(found.num_rows for found in batches) >= len(PATHS):
            stop.set()
    table = pa.Table.from_batches(batches, CALL_SCHEMA)
    assert source.report.aside == 0
    assert table["destination"].to_pylist() == ["spiffe://cluster.local/ledger"] * len(PATHS)
    assert table["route"].to_pylist()[:2] == ["/v1/accounts/{}", "/denied/{}"]
    assert table["status"].to_pylist()[:2] == [200, 403]
    assert table["response_bytes"].to_pylist()[0] == 5
    if name == "json.log":
        assert table["denied"].to_pylist()[:2] == [False, True]
        assert table["rule"].to_pylist()[1] == "no-entry"
        assert table["mtls"].to_pylist() == [False] * len(PATHS)


def test_the_command_follows_until_it_is_interrupted(envoy: Path) -> None:
    _ask(envoy)
    record = envoy / "record"
    command = [sys.executable, "-c", "from meshwarden.cli import main; main()", "calls", "import",
               str(envoy / "json.log"), "--follow", "-o", str(record), "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not any(record.glob("calls-*.parquet")):
            threading.Event().wait(0.05)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(said)["kept"] == load_calls([record]).table.num_rows == len(PATHS)
