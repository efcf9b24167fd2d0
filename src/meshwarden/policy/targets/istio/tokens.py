"""What a rule asks of a transaction token, as conditions on claims; and who verifies it.

Istio verifies signature, issuer, audience and expiry, and compares claims. It checks neither `typ`
nor whether a token was used before: for the latter an external authorizer is asked first.
"""

from collections.abc import Iterator
from typing import Any

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import AccessPolicy, TokenRequirement
from meshwarden.policy.targets.cluster import TokenIssuer

HEADER = "Txn-Token"
Condition = dict[str, Any]


def jwt_rule(policy: AccessPolicy, issuer: TokenIssuer) -> dict[str, Any]:
    """Return how tokens are verified."""
    return {
        "issuer": issuer.issuer,
        "audiences": [issuer.audience or policy.trust_domain],
        "jwksUri": issuer.jwks_uri,
        "fromHeaders": [{"name": HEADER}],
        "forwardOriginalToken": True,
        "spaceDelimitedClaims": ["scope"],
    }


def conditions(
    token: TokenRequirement, issuer: TokenIssuer, caller: SpiffeId | None
) -> Iterator[Condition]:
    """Yield what must hold of the claims; `caller` is who a bound token must name."""
    yield _claim("iss", issuer.issuer)
    for scope in token.scopes:
        yield _claim("scope", scope)
    if token.acr is not None:
        yield _claim("acr", token.acr)
    if caller is not None:
        yield _claim("req_wl", str(caller))


def _claim(name: str, value: str) -> Condition:
    return {"key": f"request.auth.claims[{name}]", "values": [value]}


def is_wildcard(text: str) -> bool:
    """Return whether Istio would take `text` for a pattern."""
    return text.startswith("*") or text.endswith("*")


def trouble(token: TokenRequirement, issuer: TokenIssuer | None, authorizer: str | None) -> str:
    """Return why a rule with `token` cannot allow anything; "" where it can."""
    if issuer is None:
        return "no issuer of transaction tokens was named: the rule allows nothing"
    if token.once and authorizer is None:
        return "that its token is used once needs an external authorizer: the rule allows nothing"
    texts = [*token.scopes, *([token.acr] if token.acr is not None else [])]
    if any(map(is_wildcard, texts)):
        return "Istio would read a scope or acr with * at an end as a pattern: nothing is allowed"
    return ""
