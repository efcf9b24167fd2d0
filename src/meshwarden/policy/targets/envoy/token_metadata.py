"""The contract between the filter that verifies transaction tokens and the compiled policy.

Before the policy's filter, `jwt_authn` verifies the token of a request (signature, issuer,
audience, expiry) and leaves it in dynamic metadata: the payload under `PAYLOAD_KEY` with its
`scope` split into a list, the header under `HEADER_KEY`. `PROVIDER_FIELDS` are the fields of its
provider that do so. The policy's tree tests the rest: the header's `typ` and `alg`, which jwt_authn
does not, and what a rule asks of the claims.

Without such a filter, or without a token that it verified, the metadata is absent and no rule with
`token` allows anything. Nothing else in the chain may write this metadata; and a provider under
these keys may be required only so that requests without a token still reach the policy
(`allow_missing`), since rules without `token` need none.
"""

from typing import Any, Final

NAMESPACE: Final = "envoy.filters.http.jwt_authn"  # fixed by Envoy
PAYLOAD_KEY: Final = "transaction_token"
HEADER_KEY: Final = "transaction_token_header"
PROVIDER_FIELDS: Final[dict[str, Any]] = {
    "payload_in_metadata": PAYLOAD_KEY,
    "header_in_metadata": HEADER_KEY,
    "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
}

TYPES: Final = ("txntoken+jwt", "application/txntoken+jwt")
"""What `typ` may be: draft-ietf-oauth-transaction-tokens, section 9.1; RFC 7515, section 4.1.9."""

ONCE: Final = ":once"
"""What follows the name of a rule with `once` where it allowed: the filter behind the policy's asks
for the token's one use where it finds it. No name of a rule ends so by itself."""

ALGORITHMS: Final = ("ES256", "ES384", "RS256", "PS256", "EdDSA")
"""What `alg` may be: asymmetric ones alone (RFC 8725, section 3.1)."""
