"""Signs what the exchange decided."""

from dataclasses import replace

from meshwarden.tokens.chain import Link
from meshwarden.tokens.exchange import Exchanged
from meshwarden.tokens.jws import sign_compact
from meshwarden.tokens.keys import SigningKey
from meshwarden.tokens.model import TYPE, IssuedToken


def issue_token(exchanged: Exchanged, key: SigningKey) -> tuple[IssuedToken, Link]:
    """Return the signed token, and its link in the chain, which now names it."""
    token = sign_compact(
        exchanged.claims.as_json(), key.jose, algorithm=key.algorithm, kid=key.kid, typ=TYPE
    )
    issued = IssuedToken(token=token, claims=exchanged.claims, kid=key.kid)
    return issued, replace(exchanged.link, digest=token.digest)
