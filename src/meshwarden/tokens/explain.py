"""What a token says of itself, and what is wrong with it at first sight; nothing is proven here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from meshwarden.tokens.errors import TokenError
from meshwarden.tokens.jws import media_type, parse_compact
from meshwarden.tokens.model import MAX_LIFETIME_S, TYPE, UnverifiedToken
from meshwarden.tokens.times import check_times
from meshwarden.tokens.verify import HISTORIC, read_claims, require_audience

KINDS: Final[Mapping[str, str]] = {
    TYPE: "transaction token",
    "txn_token": "transaction token of an older draft",
    "at+jwt": "access token (RFC 9068)",
    "secevent+jwt": "security event token (RFC 8417)",
    "wit+jwt": "workload identity token",
    "wpt+jwt": "workload proof token",
    "dpop+jwt": "DPoP proof (RFC 9449)",
    "jwt": "plain JWT: an identity token, a JWT-SVID or an older access token",
    "jose": "plain JWT: an identity token, a JWT-SVID or an older access token",
    "": "JWT without a type",
}
"""By `typ`; kinds are never interchangeable (RFC 8725, section 3.12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a verifier would refuse the token."""

    code: str
    why: str
    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a token says; `problems` are those that show without any key.

    Attributes:
        kind: in words.
        digest: SHA-256 of the token, under which records know it.
        header: as decoded.
        unverified_claims: as decoded.
        problems: at the instant that was asked about.
    """

    kind: str
    digest: str
    header: Mapping[str, Any] = field(default_factory=dict)
    unverified_claims: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def inspect_token(unverified: UnverifiedToken, *, now: datetime) -> Inspection:
    """Return what the token says and what is wrong with it; never raises for what it holds."""
    digest = unverified.digest
    try:
        parsed = parse_compact(unverified)
    except TokenError as error:
        return Inspection(kind="no token", digest=digest, problems=(_problem(error),))
    typ, claims = media_type(parsed.header), parsed.unverified_claims
    return Inspection(
        kind=KINDS.get(typ, "JWT of an unknown type"),
        digest=digest,
        header=parsed.header,
        unverified_claims=claims,
        problems=tuple(_problems(typ, claims, now)),
    )


def _problems(typ: str, claims: Mapping[str, Any], now: datetime) -> list[Problem]:
    found: list[Problem] = []
    if typ == "secevent+jwt":
        return [
            Problem(code="token.claims", why=f"a SET has no {name}", clause="SSF 1.0, 4.1")
            for name in ("exp", "sub")
            if name in claims
        ]
    if typ == "txn_token":
        found.append(Problem(code="token.type", why=f"its typ is not {TYPE}", clause="row 3"))
    try:
        check_times(claims, now=now, max_life_s=MAX_LIFETIME_S if typ == TYPE else None)
    except TokenError as error:
        found.append(_problem(error))
    if typ in {TYPE, "txn_token"}:
        found += [
            Problem(
                code="token.historic",
                why=f"{old} is the name of an older draft: {new} is meant",
                clause="Transaction Tokens, Txn-Token Claims",
            )
            for old, new in HISTORIC.items()
            if old in claims
        ]
        try:
            require_audience(claims, _first_audience(claims), "row 7")
            read_claims(claims)
        except TokenError as error:
            found.append(_problem(error))
    return found


def _first_audience(claims: Mapping[str, Any]) -> str:
    found = claims.get("aud")
    return str(found[0]) if isinstance(found, list) and found else str(found)


def _problem(error: TokenError) -> Problem:
    return Problem(code=error.code, why=error.why, clause=error.clause)
