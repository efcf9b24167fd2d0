"""Subject tokens: on whose authority a transaction token is asked for (RFC 8693, section 2.1).

Three kinds are taken: an access token of a configured issuer (RFC 9068), a token that a workload
signed itself to start work of its own, and a transaction token, which is then replaced. Refresh
tokens are refused by name, everything else as unknown. Rules of the kinds exclude one another by
`typ`, issuer, audience and keys, so that none passes for another (RFC 8725, section 3.12).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from meshwarden.kernel import SpiffeId
from meshwarden.tokens.errors import TokenError
from meshwarden.tokens.jws import (
    Parsed,
    VerificationKey,
    media_type,
    parse_compact,
    verify_signature,
)
from meshwarden.tokens.model import MAX_LIFETIME_S, UnverifiedToken, VerifiedToken, session_hash
from meshwarden.tokens.policy import Issuer
from meshwarden.tokens.times import check_times, number_of
from meshwarden.tokens.verify import choose_key, require_audience, require_type, text_of

ACCESS_TYPE: Final = "at+jwt"
_URN: Final = "urn:ietf:params:oauth:token-type:"


class SubjectKind(StrEnum):
    """The subject token types that are taken."""

    ACCESS_TOKEN = f"{_URN}access_token"
    SELF_SIGNED = f"{_URN}self_signed"
    TXN_TOKEN = f"{_URN}txn_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a subject token proves.

    Attributes:
        kind: of the token.
        subject: unique in the trust domain.
        scopes: the authority behind it; None where it cannot be told, which is never "all".
        issued: seconds since the epoch.
        expires: seconds since the epoch.
        digest: SHA-256 of the token.
        acr: how surely the subject was authenticated.
        auth_time: when, seconds since the epoch.
        session: hash of the session.
        replaced: the transaction token that is to be replaced.
    """

    kind: SubjectKind
    subject: str
    scopes: frozenset[str] | None
    issued: int
    expires: int
    digest: str
    acr: str | None = None
    auth_time: int | None = None
    session: str | None = None
    replaced: VerifiedToken | None = field(default=None)

    @property
    def proven_at(self) -> int:
        """When the subject last proved themselves, as far as the token says."""
        return self.issued if self.auth_time is None else self.auth_time


def issuer_of(parsed: Parsed) -> tuple[str, str]:
    """Return the issuer and `kid` that a token claims: unproven, it says whose keys to try."""
    issuer, kid = parsed.unverified_claims.get("iss"), parsed.header.get("kid", "")
    return (issuer if isinstance(issuer, str) else "", kid)


def verify_access_token(
    unverified: UnverifiedToken,
    issuer: Issuer,
    keys: Mapping[str, VerificationKey],
    *,
    now: datetime,
    parsed: Parsed | None = None,
) -> Subject:
    """Return what an access token proves (RFC 9068, section 4); TokenError as for the validator.

    `keys` are the issuer's own alone; `parsed` is the same token, where it was read before.
    """
    parsed = parsed or parse_compact(unverified)
    claims = parsed.unverified_claims
    require_type(parsed.header, ACCESS_TYPE, "RFC 9068, 4")
    if parsed.header["alg"] not in issuer.algorithms:
        raise TokenError("token.algorithm", "not an algorithm of its issuer", clause="RFC 9068, 4")
    verify_signature(parsed, choose_key(parsed.header, keys))
    if claims.get("iss") != issuer.issuer:
        raise TokenError("token.issuer", "another issuer made it", clause="RFC 9068, 4")
    require_audience(claims, issuer.audience, "RFC 9068, 4")
    issued, expires = check_times(claims, now=now)
    for name in ("client_id", "jti"):
        text_of(claims, name, required=True)
    if "cnf" in claims:
        raise TokenError(
            "token.bound", "it is bound to a key of its holder", clause="RFC 9449, 7.1"
        )
    return Subject(
        kind=SubjectKind.ACCESS_TOKEN,
        subject=f"{issuer.prefix}{text_of(claims, 'sub', required=True)}",
        scopes=_scopes(claims),
        issued=issued,
        expires=expires,
        digest=unverified.digest,
        acr=text_of(claims, "acr"),
        auth_time=_auth_time(claims),
        session=_session(claims, issuer),
    )


def verify_self_signed(
    unverified: UnverifiedToken,
    client: SpiffeId,
    keys: Mapping[str, VerificationKey],
    *,
    audience: str,
    now: datetime,
) -> Subject:
    """Return what a workload says about itself; TokenError as for the validator.

    `keys` are those that can prove `client`: that of the certificate by which it authenticated, or
    those of the trust domain's JWT-SVIDs, which name it as `sub` and carry no `iss`.
    """
    parsed: Parsed = parse_compact(unverified)
    claims = parsed.unverified_claims
    if media_type(parsed.header) not in {"", "jwt", "jose"}:
        raise TokenError(
            "token.type", "a self-signed token is a plain JWT", clause="RFC 8725, 3.11"
        )
    verify_signature(parsed, choose_key(parsed.header, keys))
    if claims.get("iss", str(client)) != str(client) or claims.get("sub") != str(client):
        raise TokenError(
            "token.subject", "a workload speaks for itself alone",
            clause="Transaction Tokens, Subject Token Types",
        )  # fmt: skip
    require_audience(claims, audience, "Transaction Tokens, Subject Token Types")
    issued, expires = check_times(claims, now=now, max_life_s=MAX_LIFETIME_S)
    return Subject(
        kind=SubjectKind.SELF_SIGNED,
        subject=str(client),
        scopes=frozenset(),  # its authority is what issuance policy grants to it
        issued=issued,
        expires=expires,
        digest=unverified.digest,
    )


def subject_of_token(token: VerifiedToken) -> Subject:
    """Return a verified transaction token as the subject of its replacement."""
    claims = token.claims
    return Subject(
        kind=SubjectKind.TXN_TOKEN,
        subject=claims.subject,
        scopes=frozenset(claims.scopes),
        issued=claims.issued,
        expires=claims.expires,
        digest=token.digest,
        acr=claims.acr,
        auth_time=claims.auth_time,
        session=claims.session,
        replaced=token,
    )


def _scopes(claims: Mapping[str, Any]) -> frozenset[str] | None:
    value = text_of(claims, "scope")
    return None if value is None else frozenset(value.split())


def _auth_time(claims: Mapping[str, Any]) -> int | None:
    value = number_of(claims, "auth_time")
    return None if value is None else int(value)


def _session(claims: Mapping[str, Any], issuer: Issuer) -> str | None:
    value = text_of(claims, "sid")
    return None if value is None else session_hash(issuer.issuer, value)
