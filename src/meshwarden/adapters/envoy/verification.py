"""The filter that verifies transaction tokens at every hop, before anything asks what they say.

It checks what Envoy's `jwt_authn` can: signature, issuer, audience, life. What it finds goes to
dynamic metadata (`policy.targets.envoy.token_metadata`), where containment, policy and the access
log read it. A request without a token passes it: whether it needs one is the policy's to say. One
with a wrong token is refused with 401 even where it needs none; one with two by `containment`.

It comes by discovery, so that a rotation of keys drops no connection.
"""

from dataclasses import dataclass
from typing import Any, Final

from envoy.config.core.v3.config_source_pb2 import ExtensionConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from google.protobuf.json_format import ParseDict

from meshwarden.adapters.envoy.tls import ads_source, packed
from meshwarden.policy.targets.envoy.token_metadata import PROVIDER_FIELDS
from meshwarden.tokens.model import MAX_LIFETIME_S, SKEW_S

TOKENS: Final = "tokens"
HEADER: Final = "txn-token"
_PROVIDER: Final = "transaction-tokens"
_REMEMBERED: Final = {"jwt_cache_size": 1000, "jwt_max_token_size": 4096}
"""Signatures that a worker need not check again; what ends is refused all the same."""

_JWT_AUTHN: Final = f"type.googleapis.com/{JwtAuthentication.DESCRIPTOR.full_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What transaction tokens are verified with.

    Attributes:
        issuer: the token service's.
        audience: the trust domain.
        keys: JWK Set, JSON.
    """

    issuer: str
    audience: str
    keys: str


def verification_filter() -> hcm.HttpFilter:
    """Return the filter as the inbound listener names it."""
    source = ExtensionConfigSource(config_source=ads_source(), type_urls=[_JWT_AUTHN])
    return hcm.HttpFilter(name=TOKENS, config_discovery=source)


def verification_resource(verification: Verification) -> TypedExtensionConfig:
    """Return what the inbound listeners ask for as `TOKENS`."""
    provider: dict[str, Any] = {
        "issuer": verification.issuer,
        "audiences": [verification.audience],
        "local_jwks": {"inline_string": verification.keys},
        "from_headers": [{"name": HEADER}],
        "forward": True,
        "require_expiration": True,
        "max_lifetime": f"{MAX_LIFETIME_S}s",
        "clock_skew_seconds": SKEW_S,
        "jwt_cache_config": _REMEMBERED,
        **PROVIDER_FIELDS,
    }
    either = [{"provider_name": _PROVIDER}, {"allow_missing": {}}]
    rule = {"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": either}}}
    config = ParseDict({"providers": {_PROVIDER: provider}, "rules": [rule]}, JwtAuthentication())
    return TypedExtensionConfig(name=TOKENS, typed_config=packed(config))
