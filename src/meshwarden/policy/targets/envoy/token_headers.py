"""The contract between our own sidecars' verification of tokens and the compiled policy.

Copying a token's header and payload into dynamic metadata, as `token_metadata` asks for, is most of
what verification in the proxy costs beside the signature (docs/decisions/0011). So our own
sidecars have the few claims that somebody asks for handed on as request headers instead. It holds:

- `jwt_authn` removes these headers from every request before it looks for a token, and adds them
  from a token that it has verified: `FIELDS` are the fields of its provider that do so. Whoever
  compiles with `Handed.HEADERS` sees to it that such a filter stands before the policy's, and that
  its rules name the provider for requests without a token too: else a caller could write them.
- That filter refuses each token whose `typ` or `alg` is not right; the tree does not ask again.
- They are removed before the request leaves for the application.

A claim that is no text, number or truth value is not handed on: what asks for it refuses.
"""

from enum import Enum
from typing import Any, Final

CLAIMS: Final = ("scope", "acr", "req_wl", "txn", "sid", "sub")
HEADERS: Final = {claim: f"x-meshwarden-token-{claim.replace('_', '-')}" for claim in CLAIMS}
FIELDS: Final[dict[str, Any]] = {
    "claim_to_headers": [
        {"claim_name": claim, "header_name": header} for claim, header in HEADERS.items()
    ]
}


class Handed(Enum):
    """Where the tree finds what a verified token says."""

    METADATA = "metadata"
    """As `token_metadata` has it: for any Envoy."""

    HEADERS = "headers"
    """As this module has it: for our own sidecars."""
