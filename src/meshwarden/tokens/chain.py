"""The call chain: which workload asked for which token of a transaction, one link for each.

A token does not name those that asked before (the draft leaves the way open); the record does,
keyed by `txn`, and each link names the token that it replaced by its digest.
"""

from dataclasses import dataclass

from meshwarden.tokens.model import Claims
from meshwarden.tokens.risk.model import Assessment, Factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One issued token.

    Attributes:
        transaction: `txn`.
        time: seconds since the epoch.
        requester: SPIFFE ID of the workload that asked.
        subject: `sub`.
        session: hash of the session.
        scopes: what it authorizes.
        expires: seconds since the epoch.
        digest: SHA-256 of the token; empty until it is signed.
        replaced: SHA-256 of the token that it replaced; None for the first.
        risk: the score at its issuance; None where none was weighed.
        factors: what the score was made of.
    """

    transaction: str
    time: int
    requester: str
    subject: str
    session: str | None
    scopes: tuple[str, ...]
    expires: int
    digest: str = ""
    replaced: str | None = None
    risk: float | None = None
    factors: tuple[Factor, ...] = ()


def link_of(claims: Claims, *, replaced: str | None, risk: Assessment | None) -> Link:
    """Return the link that the issuance of `claims` adds."""
    return Link(
        transaction=claims.transaction,
        time=claims.issued,
        requester=claims.requester,
        subject=claims.subject,
        session=claims.session,
        scopes=claims.scopes,
        expires=claims.expires,
        replaced=replaced,
        risk=None if risk is None else risk.score,
        factors=() if risk is None else risk.factors,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A workload that asked for a token of a transaction.

    Attributes:
        requester: its SPIFFE ID.
        scopes: of a token that it asked for.
        since: when it first did, seconds since the epoch.
    """

    requester: str
    scopes: tuple[str, ...]
    since: int
