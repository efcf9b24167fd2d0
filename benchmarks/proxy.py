"""The Envoy under load: one process, one worker, one listener per variant.

All variants live in one process, so that they share binary, memory layout and processor; listeners
without connections cost nothing. Each listener terminates mutual TLS 1.3, normalizes paths as a
sidecar does, and answers itself: what an application would add is left out, which makes the share
of authorization as large as it can get.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.process import running, wait_for
from meshwarden.adapters.envoy.bootstrap import find_envoy
from meshwarden.identity import Authority, Svid

BODY: Final = "ok"
_API: Final = "type.googleapis.com/envoy.extensions."
_HTTP2: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """The running Envoy: its process id, and the port of each variant."""

    pid: int
    ports: Mapping[str, int]


@contextmanager
def running_proxy(
    directory: Path,
    *,
    filters: Mapping[str, dict[str, Any] | None],
    authorizers: Mapping[str, Path],
    authority: Authority,
    svid: Svid,
    core: int,
) -> Iterator[Proxy]:
    """Run Envoy on `core` with a listener for each of `filters` (None: no authorization).

    DependencyError `benchmark.start` where it does not start.
    """
    ports = dict(zip(filters, _free_ports(len(filters)), strict=True))
    listeners = [
        _listener(name, ports[name], one, authority=authority, svid=svid)
        for name, one in filters.items()
    ]
    clusters = [_cluster(name, path) for name, path in authorizers.items()]
    config = {"static_resources": {"listeners": listeners, "clusters": clusters}}
    (directory / "envoy.json").write_text(json.dumps(config))
    log = directory / "envoy.log"
    command = [
        str(find_envoy()), "-c", str(directory / "envoy.json"), "--concurrency", "1",
        "--disable-hot-restart", "--log-level", "info",
    ]  # fmt: skip
    with running(command, core=core, log=log) as process:
        wait_for(lambda: _is_serving(log), process, what="Envoy", log=log)
        yield Proxy(pid=process.pid, ports=ports)


def external_authorization(cluster: str) -> dict[str, Any]:
    """Return the filter that asks the authorizer behind `cluster` about each request."""
    return {
        "@type": _API + "filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "failure_mode_allow": False,
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster}, "timeout": "5s"},
    }


def _listener(
    name: str, port: int, one: dict[str, Any] | None, *, authority: Authority, svid: Svid
) -> dict[str, Any]:
    router = {"name": "router", "typed_config": {"@type": _API + "filters.http.router.v3.Router"}}
    authorization = [{"name": "authorization", "typed_config": one}] if one else []
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": BODY}},
    }
    manager = {
        "@type": _API + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [*authorization, router],
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "transport_socket": {
                    "name": "envoy.transport_sockets.tls",
                    "typed_config": _tls(authority, svid),
                },
                "filters": [{"name": "manager", "typed_config": manager}],
            }
        ],
    }


def _tls(authority: Authority, svid: Svid) -> dict[str, Any]:
    return {
        "@type": _API + "transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "tls_certificates": [
                {
                    "certificate_chain": {"inline_string": svid.certificate_chain},
                    "private_key": {"inline_string": svid.private_key.reveal()},
                }
            ],
            "validation_context": {"trusted_ca": {"inline_string": authority.bundle.pem}},
        },
    }


def _cluster(name: str, path: Path) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            _HTTP2: {
                "@type": f"type.googleapis.com/{_HTTP2}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _is_serving(log: Path) -> bool:
    return log.exists() and "starting main dispatch loop" in log.read_text()
