"""On whose behalf: transaction tokens, what they say, who may ask for them, at what risk.

- `model`: unverified, verified and issued tokens, claims. `errors`: refusals of both kinds.
- `jws`, `jwks`, `keys`: signatures, JWK Sets, the keys that sign, in rotation.
- `verify`: the validator of transaction tokens. `subject`: the tokens that are exchanged for one.
- `policy`, `parse_policy`: who may ask for what. `edge`, `parse_edge`: what is let in from outside;
  `challenge`: what who is not let in is told. `request`: the form. `exchange`: the step.
- `issue`: signs. `chain`: who asked for which token of a transaction. `times`: iat, exp, nbf.
- `revocation`: sessions, subjects, transactions. `presentation`: who presented which token.
- `risk`: how likely it is not the subject. `signals`: Shared Signals, in and out.

Pure: tokens, keys, policy, risk and one instant come in; claims or a refusal come out.
"""

from meshwarden.tokens.chain import Holder, Link
from meshwarden.tokens.errors import OAuthCode, OAuthError, TokenError
from meshwarden.tokens.exchange import Exchanged, exchange
from meshwarden.tokens.issue import issue_token
from meshwarden.tokens.jwks import parse_jwks, render_jwks, thumbprint
from meshwarden.tokens.jws import VerificationKey
from meshwarden.tokens.keys import (
    SigningKey,
    create_key,
    published_keys,
    restore_key,
    rotate_keys,
    signing_key,
)
from meshwarden.tokens.model import (
    HEADER,
    Claims,
    IssuedToken,
    UnverifiedToken,
    VerifiedToken,
    session_hash,
)
from meshwarden.tokens.parse_policy import parse_token_policy
from meshwarden.tokens.policy import Grant, Issuer, ScopeRule, TokenPolicy
from meshwarden.tokens.request import ExchangeRequest, parse_request
from meshwarden.tokens.revocation import NOTHING_REVOKED, Revocation, Revocations, RevokedKind
from meshwarden.tokens.subject import (
    Subject,
    SubjectKind,
    issuer_of,
    subject_of_token,
    verify_access_token,
    verify_self_signed,
)
from meshwarden.tokens.verify import Expected, verify_txn_token

__all__ = [
    "HEADER",
    "NOTHING_REVOKED",
    "Claims",
    "ExchangeRequest",
    "Exchanged",
    "Expected",
    "Grant",
    "Holder",
    "IssuedToken",
    "Issuer",
    "Link",
    "OAuthCode",
    "OAuthError",
    "Revocation",
    "Revocations",
    "RevokedKind",
    "ScopeRule",
    "SigningKey",
    "Subject",
    "SubjectKind",
    "TokenError",
    "TokenPolicy",
    "UnverifiedToken",
    "VerificationKey",
    "VerifiedToken",
    "create_key",
    "exchange",
    "issue_token",
    "issuer_of",
    "parse_jwks",
    "parse_request",
    "parse_token_policy",
    "published_keys",
    "render_jwks",
    "restore_key",
    "rotate_keys",
    "session_hash",
    "signing_key",
    "subject_of_token",
    "thumbprint",
    "verify_access_token",
    "verify_self_signed",
    "verify_txn_token",
]
