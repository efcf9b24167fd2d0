"""Whether a transaction token holds: the validator, row by row.

The rows are those of docs/reference/tokens.md. Envoy does the same at each hop, compiled from the
same policy; this one serves the token service, `token verify` and the tests that compare the two.
Rows 12 to 14 (the operation, the caller, replay) belong to whoever knows the request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.tokens.errors import TokenError
from meshwarden.tokens.jws import VerificationKey, media_type, parse_compact, verify_signature
from meshwarden.tokens.model import (
    MAX_LIFETIME_S,
    MAX_TOKEN_BYTES,
    SKEW_S,
    TYPE,
    Claims,
    UnverifiedToken,
    VerifiedToken,
)
from meshwarden.tokens.revocation import NOTHING_REVOKED, Revocations
from meshwarden.tokens.times import check_times, number_of

HISTORIC: Final = {
    "purp": "scope", "purpose": "scope", "azd": "tctx", "req_ctx": "rctx", "sub_id": "sub",
}  # fmt: skip
"""Claims of older drafts and what they are called now."""

_MAX_TEXT: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a verifier expects of every transaction token.

    Attributes:
        trust_domain: the audience.
        issuer: `iss`; None: the keys alone name the token service.
        algorithms: those taken; a key has one of its own besides.
        max_life_s: how long a token may live in all.
        max_bytes: how long it may be.
        skew_s: how far the issuer's clock may be ahead.
    """

    trust_domain: str
    issuer: str | None = None
    algorithms: frozenset[str] = frozenset({"ES256", "EdDSA", "RS256"})
    max_life_s: int = MAX_LIFETIME_S
    max_bytes: int = MAX_TOKEN_BYTES
    skew_s: int = SKEW_S


def verify_txn_token(
    unverified: UnverifiedToken,
    keys: Mapping[str, VerificationKey],
    expected: Expected,
    *,
    now: datetime,
    revoked: Revocations = NOTHING_REVOKED,
) -> VerifiedToken:
    """Return what the token proves.

    Args:
        unverified: the token.
        keys: the token service's, by `kid`.
        expected: what every token has in common.
        now: the time of day.
        revoked: sessions, subjects and transactions that are revoked.

    Raises:
        TokenError: with a code of `token.` and the clause: form, header, type, algorithm, key,
            signature, audience, expired, not_yet_valid, lifetime, claims, historic, issuer,
            revoked.
    """
    parsed = parse_compact(unverified, max_bytes=expected.max_bytes)  # rows 1, 2, 5
    claims = parsed.unverified_claims
    require_type(parsed.header, TYPE, "row 3")
    if parsed.header["alg"] not in expected.algorithms:
        raise TokenError("token.algorithm", "its algorithm is not taken here", clause="row 4")
    verify_signature(parsed, choose_key(parsed.header, keys))  # rows 4, 6
    _refuse_historic(claims)
    require_audience(claims, expected.trust_domain, "row 7")
    check_times(claims, now=now, max_life_s=expected.max_life_s, skew_s=expected.skew_s)  # 8, 9
    proven = read_claims(claims)  # row 10
    if expected.issuer is not None and proven.issuer != expected.issuer:
        raise TokenError("token.issuer", "another issuer made it", clause="row 11")
    found = revoked.of_transaction(proven)
    if found is not None:
        raise TokenError("token.revoked", f"its {found.kind} is revoked", clause="row 15")
    return VerifiedToken(claims=proven, kid=parsed.header["kid"], digest=unverified.digest)


def require_type(header: Mapping[str, Any], wanted: str, clause: str) -> None:
    """Raise TokenError `token.type` unless the header says `wanted`."""
    found = media_type(header)
    if found != wanted:
        hint = "; txn_token is the name of an older draft" if found == "txn_token" else ""
        raise TokenError("token.type", f"its typ is not {wanted}{hint}", clause=clause)


def choose_key(header: Mapping[str, Any], keys: Mapping[str, VerificationKey]) -> VerificationKey:
    """Return the key that `kid` names; TokenError `token.key` where none has that name."""
    key = keys.get(str(header.get("kid", "")))
    if key is None:
        raise TokenError("token.key", "no known key has the name that it gives", clause="row 6")
    return key


def require_audience(claims: Mapping[str, Any], wanted: str, clause: str) -> None:
    """Raise TokenError `token.audience` unless the token is meant for `wanted`."""
    found = claims.get("aud")
    meant = [found] if isinstance(found, str) else found
    if not isinstance(meant, list) or not all(isinstance(one, str) for one in meant):
        raise TokenError("token.audience", "it does not say for whom it is", clause=clause)
    if wanted not in meant:
        raise TokenError("token.audience", "it is meant for someone else", clause=clause)


def read_claims(unverified: Mapping[str, Any]) -> Claims:
    """Return the claims, each of its right JSON type; TokenError `token.claims`."""
    for name in ("txn", "sub", "scope", "req_wl"):
        text_of(unverified, name, required=True)
    scopes = tuple(sorted(set(str(unverified["scope"]).split(" "))))
    if not all(scopes):
        raise TokenError("token.claims", "its scope is no list of words", clause="row 10")
    audience = unverified["aud"]
    auth_time = number_of(unverified, "auth_time")
    return Claims(
        issuer=text_of(unverified, "iss"),
        audience=audience if isinstance(audience, str) else str(audience[0]),
        issued=int(number_of(unverified, "iat") or 0),
        expires=int(number_of(unverified, "exp") or 0),
        transaction=str(unverified["txn"]),
        subject=str(unverified["sub"]),
        scopes=scopes,
        requester=_identity(unverified),
        acr=text_of(unverified, "acr"),
        auth_time=None if auth_time is None else int(auth_time),
        session=text_of(unverified, "sid"),
        details=_object(unverified, "tctx"),
        context=_object(unverified, "rctx"),
    )


def text_of(claims: Mapping[str, Any], name: str, *, required: bool = False) -> str | None:
    """Return a text claim; None where it may be absent and is."""
    value = claims.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_TEXT or not value.isprintable():
        raise TokenError("token.claims", f"its {name} is missing or no text", clause="row 10")
    return value


def _refuse_historic(claims: Mapping[str, Any]) -> None:
    for old, new in HISTORIC.items():
        if old in claims:
            raise TokenError(
                "token.historic", f"{old} is the name of an older draft: {new} is meant",
                clause="Transaction Tokens, Txn-Token Claims",
            )  # fmt: skip
    if isinstance(claims.get("req_wl"), list):
        raise TokenError(
            "token.historic", "req_wl as a list is of an older draft: one text is meant",
            clause="Transaction Tokens, Txn-Token Claims",
        )  # fmt: skip


def _identity(claims: Mapping[str, Any]) -> str:
    try:
        return str(SpiffeId.parse(str(claims["req_wl"])))
    except InputError as error:
        raise TokenError("token.claims", "its req_wl is no SPIFFE ID", clause="row 10") from error


def _object(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = claims.get(name, {})
    if not isinstance(value, dict):
        raise TokenError("token.claims", f"its {name} is no object", clause="row 10")
    return value
