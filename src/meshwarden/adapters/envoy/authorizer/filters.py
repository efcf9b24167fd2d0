"""The filters that ask the authorizer, and the log that tells it of refusals.

- At the edge, `entry_filter` before the router: a request is let in by the authorizer's word,
  within a second, or refused with 503. `hold_filter` asks again about failed responses alone (4xx,
  5xx): a refusal of a hop inside may call for a stronger login. Without an answer the failure stays
  what it is.
- At a callee, `once_filter` behind the policy's: it asks where the deciding rule says that a token
  counts once (`token_metadata.ONCE`), and nowhere else.
- `refusal_log` streams what a callee refuses, each entry at once.
"""

from typing import Any, Final

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.access_loggers.grpc.v3.als_pb2 import HttpGrpcAccessLogConfig
from envoy.extensions.common.matching.v3.extension_matcher_pb2 import ExtensionWithMatcher
from envoy.extensions.filters.common.matcher.action.v3.skip_action_pb2 import SkipFilter
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import ExtAuthz
from envoy.extensions.filters.http.ext_proc.v3.ext_proc_pb2 import ExternalProcessor
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.matcher.v3.status_code_input_pb2 import HttpResponseStatusCodeClassMatchInput
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from meshwarden.adapters.envoy.authorizer.codec import AUTHORIZER
from meshwarden.adapters.envoy.model import Endpoint
from meshwarden.adapters.envoy.tls import packed
from meshwarden.adapters.envoy.verification import HEADER
from meshwarden.policy.targets.envoy.token_headers import HEADERS
from meshwarden.policy.targets.envoy.token_metadata import ONCE

CLUSTER: Final = "authorizer"
ENTRY: Final = AUTHORIZER
ONCE_FILTER: Final = "once"
DECIDES_MS: Final = 1000
"""Nobody is let in meanwhile, so waiting costs patience alone: more than a busy machine takes,
less than customers give up after."""

HOLDS_MS: Final = 250
"""How long a failed response is held; a refusal inside is told within a few milliseconds."""

_ANSWERS_MS: Final = HOLDS_MS + 150
_RBAC: Final = "envoy.filters.http.rbac"


def entry_filter() -> hcm.HttpFilter:
    """Return the filter that asks whether a request from outside is let in.

    Routes say more (`edge_routes`); without their word it is asked about as it is, and refused.
    """
    question = _question() | {"disallowed_headers": _exactly("cookie")}
    return _filter(ENTRY, ParseDict(question, ExtAuthz()))


def once_filter() -> hcm.HttpFilter:
    """Return the filter that asks for a token's one use where the deciding rule demands it."""
    decided = {
        "filter": _RBAC,
        "path": [{"key": "enforced_effective_policy_id"}],
        "value": {"string_match": {"suffix": ONCE}},
    }
    shown = {"allowed_headers": _exactly(HEADER), "filter_enabled_metadata": decided}
    question = _question() | shown
    return _filter(ONCE_FILTER, ParseDict(question, ExtAuthz()))


def hold_filter() -> hcm.HttpFilter:
    """Return the filter that holds failed responses of requests that were let in."""
    processor = ExternalProcessor()
    config = {
        "grpc_service": _service(_ANSWERS_MS),
        "failure_mode_allow": True,  # the failure stays a failure
        "message_timeout": f"{_ANSWERS_MS / 1000}s",
        "processing_mode": {
            "request_header_mode": "SKIP", "response_header_mode": "SEND",
            "request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP",
        },
        "metadata_options": {"forwarding_namespaces": {"untyped": [AUTHORIZER]}},
    }  # fmt: skip
    ParseDict(config, processor)
    return _filter("hold", _where_failed("hold", processor))


def refusal_log() -> AccessLog:
    """Return the log that tells the authorizer of refused requests, and what their tokens say."""
    config = {
        "additional_request_headers_to_log": list(HEADERS.values()),
        "common_config": {
            "log_name": "refusals", "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": CLUSTER}},
            "buffer_size_bytes": 0,  # each entry at once
            "buffer_flush_interval": "0.02s",
        }
    }  # fmt: skip
    log = AccessLog(name="envoy.access_loggers.http_grpc")
    log.typed_config.CopyFrom(packed(ParseDict(config, HttpGrpcAccessLogConfig())))
    status = {"default_value": 403, "runtime_key": "meshwarden.refused"}
    ParseDict({"status_code_filter": {"comparison": {"op": "EQ", "value": status}}}, log.filter)
    return log


def unavailable_reply(body: str) -> hcm.LocalReplyConfig:
    """Return how a request is refused of which the authorizer said nothing: 503, and why."""
    undecided = {
        "and_filter": {
            "filters": [
                {"response_flag_filter": {"flags": ["UAEX"]}},
                {
                    "status_code_filter": {
                        "comparison": {
                            "op": "EQ",
                            "value": {"default_value": 503, "runtime_key": "meshwarden.undecided"},
                        }
                    }
                },
            ]
        }
    }
    form = {
        "text_format_source": {"inline_string": body.replace("%", "%%")},
        "content_type": "application/problem+json",
    }
    return ParseDict(
        {"mappers": [{"filter": undecided, "body_format_override": form}]}, hcm.LocalReplyConfig()
    )


def authorizer_cluster(socket: Endpoint) -> Cluster:
    """Return the cluster that leads to the authorizer."""
    http2 = HttpProtocolOptions.DESCRIPTOR.full_name
    config = {
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            http2: {
                "@type": _type(HttpProtocolOptions),
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {"interval": "10s", "timeout": "5s"}
                    }
                },
            }
        },
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": socket.address}}}}]}
            ],
        },
    }
    return ParseDict(config, Cluster())


def _exactly(*names: str) -> dict[str, Any]:
    return {"patterns": [{"exact": name} for name in names]}


def _question() -> dict[str, Any]:
    return {
        "grpc_service": _service(DECIDES_MS),
        "transport_api_version": "V3",
        "failure_mode_allow": False,
        "status_on_error": {"code": 503},
        "validate_mutations": True,
    }


def _service(timeout_ms: int) -> dict[str, Any]:
    return {"envoy_grpc": {"cluster_name": CLUSTER}, "timeout": f"{timeout_ms / 1000}s"}


def _where_failed(name: str, filter_config: Message) -> ExtensionWithMatcher:
    """Return a filter that is skipped for every response but 4xx and 5xx."""
    skip = {
        "action": {
            "name": "skip",
            "typed_config": {
                "@type": _type(SkipFilter),
            },
        }
    }
    status = {
        "name": "status",
        "typed_config": {
            "@type": _type(HttpResponseStatusCodeClassMatchInput),
        },
    }
    fine = {"exact_match_map": {"map": dict.fromkeys(("1xx", "2xx", "3xx"), skip)}}
    found = ExtensionWithMatcher()
    ParseDict({"xds_matcher": {"matcher_tree": {"input": status, **fine}}}, found)
    found.extension_config.name = name
    found.extension_config.typed_config.CopyFrom(packed(filter_config))
    return found


def _type(message: type[Message]) -> str:
    return f"type.googleapis.com/{message.DESCRIPTOR.full_name}"


def _filter(name: str, message: Message) -> hcm.HttpFilter:
    config: Packed = packed(message)
    return hcm.HttpFilter(name=name, typed_config=config)
