"""A proxy that only says whether a policy lets a request or a connection pass.

One listener (a Unix socket) for each service and port that is tried, as a sidecar's inbound
listeners are: mutual TLS, the normal form of paths, the compiled filter. Behind it nobody: a
request that passes is answered with 200, octets of a connection that passes come back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

_TYPES: Final = "type.googleapis.com/"
_EXTENSIONS: Final = f"{_TYPES}envoy.extensions."


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialListener:
    """One door: its Unix socket, and the compiled filter that guards it.

    Attributes:
        socket: path of at most 100 octets.
        guard: the filter, as `targets.envoy` compiles it.
        http: whether it takes requests; else connections.
    """

    socket: Path
    guard: Message
    http: bool


def trial_bootstrap(
    listeners: Sequence[TrialListener], *, certificate: Path, key: Path, roots: Path
) -> dict[str, Any]:
    """Return the configuration of the proxy: its certificate, its key, and whom it trusts (PEM)."""
    tls = {
        "name": "tls",
        "typed_config": {
            "@type": f"{_EXTENSIONS}transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(certificate)},
                        "private_key": {"filename": str(key)},
                    }
                ],
                "validation_context": {"trusted_ca": {"filename": str(roots)}},
            },
        },
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": f"trial/{number}",
                    "address": {"pipe": {"path": str(listener.socket)}},
                    "filter_chains": [{"transport_socket": tls, "filters": _filters(listener)}],
                }
                for number, listener in enumerate(listeners)
            ]
        }
    }


def _filters(listener: TrialListener) -> list[dict[str, Any]]:
    guard = {"name": "policy", "typed_config": _typed(listener.guard)}
    if listener.http:
        return [_manager(guard)]
    echo = {"@type": f"{_EXTENSIONS}filters.network.echo.v3.Echo"}
    return [guard, {"name": "echo", "typed_config": echo}]


def _manager(guard: Mapping[str, Any]) -> dict[str, Any]:
    passed = {"match": {"safe_regex": {"regex": "(?s).*"}}, "direct_response": {"status": 200}}
    name = "filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = {"@type": f"{_EXTENSIONS}filters.http.router.v3.Router"}
    return {
        "name": "http",
        "typed_config": {
            "@type": f"{_EXTENSIONS}{name}",
            "stat_prefix": "trial",
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [passed]}]
            },
            "http_filters": [guard, {"name": "router", "typed_config": router}],
        },
    }


def _typed(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return {"@type": _TYPES + message.DESCRIPTOR.full_name, **found}
