"""The filter that verifies transaction tokens at every hop, before anything asks what they say.

It checks what Envoy's `jwt_authn` can: signature, issuer, audience, life. `typ` and `alg`, which it
does not check, are told from the token's first octets: our token service writes one first part with
each of its keys, and any other is refused. What a token says is handed on as request headers
(`policy.targets.envoy.token_headers`), where containment and policy read it; the route to the
application removes them. A request without a token passes: whether it needs one is the policy's to
say. One with a wrong token is refused even where it needs none; one with two by `containment`.

It comes by discovery, so that a rotation of keys drops no connection.
"""

import json
from collections.abc import Iterator
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
from meshwarden.policy.targets.envoy.token_headers import FIELDS
from meshwarden.tokens.jws import first_part
from meshwarden.tokens.model import MAX_LIFETIME_S, SKEW_S, TYPE

TOKENS: Final = "tokens"
HEADER: Final = "txn-token"
_PROVIDER: Final = "transaction-tokens"
_NOBODY: Final = "nobody"
"""The provider of what no token is: its issuer is none."""

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
        **FIELDS,
    }
    nobody = {
        "issuer": "-",
        "local_jwks": {"inline_string": verification.keys},
        "from_headers": [{"name": HEADER}],
    }
    providers = {_PROVIDER: provider, _NOBODY: nobody}
    config = {"providers": providers, "rules": list(_rules(verification.keys))}
    return TypedExtensionConfig(
        name=TOKENS, typed_config=packed(ParseDict(config, JwtAuthentication()))
    )


def _rules(keys: str) -> Iterator[dict[str, Any]]:
    """Yield what is required of a request; the first that matches counts.

    1. With a token whose first part is that of one of the keys: that it is right.
    2. With any other: that it is nobody's, which none is.
    3. Without: nothing. The provider is named all the same, for it removes what a caller wrote
       where it hands on what tokens say.
    """
    right = {"provider_name": _PROVIDER}
    for key in json.loads(keys)["keys"]:
        part = first_part(algorithm=key["alg"], kid=key["kid"], typ=TYPE)
        yield _rule(right, {"string_match": {"prefix": f"{part}."}})
    yield _rule({"provider_name": _NOBODY}, {"present_match": True})
    yield _rule({"requires_any": {"requirements": [right, {"allow_missing": {}}]}})


def _rule(requires: dict[str, Any], token: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = [] if token is None else [{"name": HEADER, **token}]
    return {"match": {"prefix": "/", "headers": headers}, "requires": requires}
