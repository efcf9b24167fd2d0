"""Verifies the access tokens of the bank's identity provider (RFC 9068, section 4)."""

from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from starlette.requests import Request

ALGORITHM: Final = "ES256"
AUDIENCE: Final = "https://api.bank.example"
MAX_TOKEN_BYTES: Final = 4096
_LEEWAY_S: Final = 30
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})


class TokenError(Exception):
    """The token proves nothing; `unknown_key` where it names a key that is not known here."""

    def __init__(self, reason: str, *, unknown_key: bool = False) -> None:
        super().__init__(reason)
        self.unknown_key = unknown_key


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """Who calls, by what name the customer logged in, what they may do, how they proved it."""

    subject: str
    user_name: str
    scopes: frozenset[str]
    acr: str


def verify_access_token(
    unverified: str, *, keys: KeySet, issuer: str, at_s: float
) -> VerifiedToken:
    """Return the proven token; TokenError where anything about it is wrong.

    1. Length, signature with ES256 by a known key (RFC 8725, sections 3.1 and 3.5).
    2. `typ` (RFC 9068, section 4): an identity token is no access token.
    3. Issuer, audience, expiry and issue time, with 30 s of leeway.
    4. The claims that are used here.
    """
    if len(unverified) > MAX_TOKEN_BYTES:
        raise TokenError("too long")
    try:
        token = jwt.decode(unverified, keys, algorithms=[ALGORITHM])
        if token.header.get("typ") not in _TYPES:
            raise TokenError("not an access token")
        jwt.JWTClaimsRegistry(
            now=int(at_s),
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            iat={"essential": True},
        ).validate(token.claims)
    except InvalidKeyIdError as error:
        raise TokenError("unknown key", unknown_key=True) from error
    except (JoseError, ValueError) as error:
        raise TokenError("not valid") from error
    claims: dict[str, Any] = token.claims
    texts = [claims.get(name) for name in ("sub", "username", "scope", "acr")]
    if not all(isinstance(text, str) for text in texts):
        raise TokenError("a claim is missing")
    subject, user_name, scope, acr = map(str, texts)
    return VerifiedToken(
        subject=subject, user_name=user_name, scopes=frozenset(scope.split(" ")), acr=acr
    )


def bearer_token(request: Request) -> str:
    """Return the still unverified token of an Authorization header; TokenError where none is."""
    kind, _, raw_token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not raw_token:
        raise TokenError("a bearer token is needed")
    return raw_token
