"""What is revoked: sessions, subjects, transactions; from when, and how long it must be remembered.

A session or transaction is over for good. A subject is revoked as of an instant: whoever proved
themselves after it goes on, so that a stolen password does not lock its owner out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from meshwarden.tokens.model import MAX_LIFETIME_S, Claims


class RevokedKind(StrEnum):
    """What a revocation names."""

    SESSION = "session"
    SUBJECT = "subject"
    TRANSACTION = "transaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One revocation.

    Attributes:
        kind: what `value` names.
        value: a session's hash, a `sub`, or a `txn`.
        time: since when.
        until: when every token that it concerns has ended.
        reason: for the record.
    """

    kind: RevokedKind
    value: str
    time: datetime
    until: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Revocations:
    """All revocations in force, by kind and value."""

    _found: Mapping[tuple[RevokedKind, str], Revocation] = field(default_factory=dict)

    @classmethod
    def of(cls, revocations: Iterable[Revocation], *, now: datetime) -> "Revocations":
        """Return those of `revocations` that have not ended, of each the newest."""
        live = sorted((one for one in revocations if now < one.until), key=lambda one: one.time)
        return cls(MappingProxyType({(one.kind, one.value): one for one in live}))

    def __iter__(self) -> Iterator[Revocation]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def contained(
        self, *, now: datetime, life_s: int = MAX_LIFETIME_S
    ) -> dict[RevokedKind, frozenset[str]]:
        """Return by kind what proxies must refuse: while a token issued before can be alive."""
        live = [one for one in self if (now - one.time).total_seconds() <= life_s]
        return {
            kind: frozenset(one.value for one in live if one.kind is kind) for kind in RevokedKind
        }

    def of_transaction(self, claims: Claims) -> Revocation | None:
        """Return what revokes a transaction token; None where nothing does."""
        return self.find(
            session=claims.session,
            subject=claims.subject,
            transaction=claims.transaction,
            proven_at=claims.auth_time if claims.auth_time is not None else claims.issued,
            issued=claims.issued,
        )

    def find(
        self,
        *,
        session: str | None,
        subject: str,
        transaction: str | None,
        proven_at: int,
        issued: int,
    ) -> Revocation | None:
        """Return what revokes a token that says this; None where nothing does.

        Args:
            session: hash of the session.
            subject: `sub`.
            transaction: `txn`.
            proven_at: when the subject last proved themselves, seconds since the epoch.
            issued: when the token was issued, seconds since the epoch.
        """
        for kind, value in (
            (RevokedKind.SESSION, session),
            (RevokedKind.TRANSACTION, transaction),
        ):
            if value is not None and (kind, value) in self._found:
                return self._found[kind, value]
        found = self._found.get((RevokedKind.SUBJECT, subject))
        if found is not None and min(proven_at, issued) <= found.time.timestamp():
            return found
        return None


NOTHING_REVOKED: Final = Revocations()
