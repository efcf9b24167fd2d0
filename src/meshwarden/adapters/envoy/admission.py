"""The Envoy in front of the admission webhook: HTTPS in, plain HTTP over a Unix socket on.

Static but for its certificate, which it reads by SDS from a file and reads again when the file is
replaced. The API server presents no certificate unless it is told to; who may ask is a matter of
the network policy, and nothing is learned from an answer but what the object itself says.
"""

from pathlib import Path
from typing import Any, Final

MAX_BUFFER: Final = 8 * 1024 * 1024
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
_HTTP: Final = "type.googleapis.com/envoy.extensions.filters."


def render_admission(
    *, host: str, port: int, secret: Path, socket: Path, admin_socket: Path
) -> dict[str, Any]:
    """Return Envoy's bootstrap: TLS 1.2 or later on `host:port`, everything to `socket`."""
    source = {
        "path_config_source": {
            "path": str(secret),
            "watched_directory": {"path": str(secret.parent)},
        },
        "resource_api_version": "V3",
    }
    context = {
        "@type": f"{_TLS}DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [{"name": "webhook", "sds_config": source}],
        },
    }
    return {
        "node": {"id": "admission", "cluster": "admission"},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "admission",
                    "address": {"socket_address": {"address": host, "port_value": port}},
                    "per_connection_buffer_limit_bytes": MAX_BUFFER,
                    "filter_chains": [
                        {
                            "transport_socket": {
                                "name": "envoy.transport_sockets.tls",
                                "typed_config": context,
                            },
                            "filters": [_manager()],
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "webhook",
                    "connect_timeout": "2s",
                    "load_assignment": {
                        "cluster_name": "webhook",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
                                ]
                            }
                        ],
                    },
                }
            ],
        },
    }


def _manager() -> dict[str, Any]:
    route = {
        "match": {"path": "/validate"},
        "route": {"cluster": "webhook", "timeout": "15s"},
    }
    health = {"match": {"path": "/healthz"}, "route": {"cluster": "webhook", "timeout": "2s"}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [route, health]}]
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_HTTP}network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "admission",
            "stream_idle_timeout": "30s",
            "request_timeout": "15s",
            "route_config": {"name": "admission", "virtual_hosts": hosts},
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_HTTP}http.router.v3.Router"},
                }
            ],
        },
    }
