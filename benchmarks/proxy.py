"""The Envoy under load: one process, one worker, one listener for each variant.

So all variants share binary, memory layout and processor, and a listener without connections costs
nothing. Each does what a sidecar's inbound listener does: mutual TLS 1.3, paths in normal form,
authorization, then forwarding to the application over a Unix socket (in `benchmarks.load`).
"""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.process import running, wait_for
from meshwarden.adapters.envoy.bootstrap import find_envoy
from meshwarden.identity import Authority, Svid

APPLICATION: Final = "application"
PATIENCE_S: Final = 300  # valgrind makes a start some fifty times longer
ANSWER: Final = {"direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
_API: Final = "type.googleapis.com/envoy.extensions."
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """The running Envoy: its process id, and the port of each variant."""

    pid: int
    ports: Mapping[str, int]


@contextmanager
def running_proxy(  # noqa: PLR0913  # what a proxy is made of
    directory: Path,
    *,
    filters: Mapping[str, dict[str, Any] | Sequence[dict[str, Any]] | None],
    application: Path | None,
    authorizers: Mapping[str, Path],
    authority: Authority,
    svid: Svid,
    core: int,
    dropped: Mapping[str, Sequence[str]] | None = None,
    under: Sequence[str] = (),
) -> Iterator[Proxy]:
    """Run Envoy on `core` with a listener for each of `filters`: one, several, or none (None).

    Without an application it answers by itself. `dropped` are request headers that the application
    does not get, by variant. `under` is a command to run it by: valgrind.

    DependencyError `benchmark.start` where it does not start.
    """
    ports = dict(zip(filters, _free_ports(len(filters)), strict=True))
    tls = _tls(authority, svid)
    action: dict[str, Any] = ANSWER if application is None else {"route": {"cluster": APPLICATION}}
    listeners = [
        _listener(
            name,
            ports[name],
            action,
            authorization=one,
            tls=tls,
            dropped=(dropped or {}).get(name, ()),
        )
        for name, one in filters.items()
    ]
    clusters = [_cluster(name, path, http2=True) for name, path in authorizers.items()]
    if application is not None:
        clusters.append(_cluster(APPLICATION, application, http2=False))
    config, log = directory / "envoy.json", directory / "envoy.log"
    resources = {"listeners": listeners, "clusters": clusters}
    config.write_text(json.dumps({"static_resources": resources}))
    command = [
        *under, str(find_envoy()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart",
        "--log-level", "info",
    ]  # fmt: skip
    with running(command, core=core, log=log) as process:
        wait_for(lambda: _is_serving(log), process, what="Envoy", log=log, patience_s=PATIENCE_S)
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
    name: str,
    port: int,
    action: dict[str, Any],
    *,
    authorization: dict[str, Any] | Sequence[dict[str, Any]] | None,
    tls: dict[str, Any],
    dropped: Sequence[str] = (),
) -> dict[str, Any]:
    router = {"name": "router", "typed_config": {"@type": _API + "filters.http.router.v3.Router"}}
    decides = [authorization] if isinstance(authorization, dict) else authorization or []
    filters = [{"name": f"filter-{n}", "typed_config": one} for n, one in enumerate(decides)]
    route = {"match": {"prefix": "/"}} | action
    routes = {
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        "request_headers_to_remove": list(dropped),
    }
    manager = {
        "@type": _API + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "route_config": routes,
        "http_filters": [*filters, router],
    }
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "filters": [{"name": "manager", "typed_config": manager}],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [chain]}


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


def _cluster(name: str, path: Path, *, http2: bool) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if http2:
        options = {
            "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
        cluster["typed_extension_protocol_options"] = {_HTTP_OPTIONS: options}
    return cluster


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _is_serving(log: Path) -> bool:
    return log.exists() and "starting main dispatch loop" in log.read_text()
