"""A limit on the requests that a service sends, at its own sidecar: set and taken away by routes.

The filter is in every sidecar's outbound chain and does nothing by itself; the limit arrives with
the route configuration (RDS), so that no listener is drained and no connection dropped. One bucket
holds for all that the service sends. What exceeds it is answered 429.
"""

from typing import Final

from envoy.config.core.v3.base_pb2 import RuntimeFractionalPercent
from envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2 import LocalRateLimit
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.type.v3.percent_pb2 import FractionalPercent
from envoy.type.v3.token_bucket_pb2 import TokenBucket
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from meshwarden.adapters.envoy.tls import packed

NAME: Final = "envoy.filters.http.local_ratelimit"
_STATS: Final = "throttle"


def throttle_filter() -> hcm.HttpFilter:
    """Return the filter that limits nothing until routes say so."""
    return hcm.HttpFilter(name=NAME, typed_config=packed(LocalRateLimit(stat_prefix=_STATS)))


def limit(rate_per_s: int) -> dict[str, Any]:
    """Return what route configuration says for at most `rate_per_s` requests a second."""
    always = RuntimeFractionalPercent(
        default_value=FractionalPercent(numerator=100, denominator=FractionalPercent.HUNDRED)
    )
    config = LocalRateLimit(
        stat_prefix=_STATS,
        token_bucket=TokenBucket(
            max_tokens=rate_per_s,
            tokens_per_fill=UInt32Value(value=rate_per_s),
            fill_interval=Duration(seconds=1),
        ),
        filter_enabled=always,
        filter_enforced=always,
    )
    return {NAME: packed(config)}
