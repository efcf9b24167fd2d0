"""Transaction tokens for the agreement test, and the filter that verifies them in its proxy."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from meshwarden.policy.targets.envoy.token_metadata import PROVIDER_FIELDS

ISSUER = "https://tokens.bank.example"
AUDIENCE = "bank.example"
HEADER = "txn-token"
EXPIRES = 4_000_000_000
JWT_AUTHN = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_ON_LIST, _OFF_LIST = "ES256", "ES512"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as sent, and what it is worth.

    Attributes:
        text: the value of the header.
        claims: what the evaluator is told; None where no rule may trust it.
        refused: whether it fails verification, so that the request never reaches the policy.
    """

    text: str
    claims: Mapping[str, Any] | None
    refused: bool = False


class TokenService:
    """Signs tokens with keys that the proxy trusts, and with one that it does not."""

    def __init__(self) -> None:
        self._keys = {
            _ON_LIST: ECKey.generate_key("P-256", {"kid": "on-list", "use": "sig"}),
            _OFF_LIST: ECKey.generate_key("P-521", {"kid": "off-list", "use": "sig"}),
        }
        self._stranger = ECKey.generate_key("P-256", {"kid": "on-list", "use": "sig"})

    def token(self, claims: Mapping[str, Any], kind: str) -> Token:
        """Return a token of these claims: `right`, or wrong in what `kind` says."""
        header = {"typ": "txntoken+jwt", "alg": _ON_LIST, "kid": "on-list"}
        payload = {"iss": ISSUER, "aud": AUDIENCE, "exp": EXPIRES, **claims}
        match kind:
            case "media type":
                header["typ"] = "application/txntoken+jwt"
            case "other type":
                header["typ"] = "at+jwt"
            case "no type":
                del header["typ"]
            case "algorithm":
                header |= {"alg": _OFF_LIST, "kid": "off-list"}
            case "expired":
                payload["exp"] = 1_000_000_000
            case "audience":
                payload["aud"] = "other.example"
        key = self._stranger if kind == "signature" else self._keys[header["alg"]]
        text = jwt.encode(header, payload, key, algorithms=[_ON_LIST, _OFF_LIST])
        return Token(
            text=text,
            claims=claims if kind in {"right", "media type"} else None,
            refused=kind in {"expired", "audience", "signature"},
        )

    def filter(self) -> dict[str, Any]:
        """Return the filter that verifies a token where there is one."""
        keys = KeySet(list(self._keys.values())).as_dict(private=False)
        provider = {
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "local_jwks": {"inline_string": json.dumps(keys)},
            "from_headers": [{"name": HEADER}],
            **PROVIDER_FIELDS,
        }
        either = [{"provider_name": "tokens"}, {"allow_missing": {}}]
        rule = {
            "match": {"prefix": "/"},
            "requires": {"requires_any": {"requirements": either}},
        }
        settings = {"@type": JWT_AUTHN, "providers": {"tokens": provider}, "rules": [rule]}
        return {"name": "envoy.filters.http.jwt_authn", "typed_config": settings}
