"""Signing keys and revocations as the store has them, the same for all replicas.

Read every second, so that a key that one replica made and a revocation that it took are known to
all. A store that cannot be read leaves what is known in force, and stops issuance elsewhere: no
record, no token.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.keys import load_keys, store_keys
from meshwarden.adapters.storage.tokens.records import load_revocations, store_revocations
from meshwarden.kernel import Clock
from meshwarden.tokens import (
    NOTHING_REVOKED,
    Revocation,
    Revocations,
    RevokedKind,
    SigningKey,
    VerificationKey,
    published_keys,
    render_jwks,
    rotate_keys,
    signing_key,
)

SESSION_S: Final = 30 * 86400
"""How long a revoked session or subject is remembered: beyond the longest access token."""

TRANSACTION_S: Final = 600
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Keeping:
    """Keys and revocations.

    Attributes:
        database: what the replicas share.
        clock: the time of day.
        algorithm: of keys that are made.
        changed: told when the published keys are others, so that proxies get them.
    """

    database: Database
    clock: Clock
    algorithm: Callable[[], str]
    changed: Callable[[], None] = lambda: None
    keys: tuple[SigningKey, ...] = ()
    revocations: Revocations = NOTHING_REVOKED
    _published: dict[str, VerificationKey] = field(default_factory=dict)

    def published(self) -> dict[str, VerificationKey]:
        """Return what verifies tokens now, by `kid`."""
        return self._published

    def jwks(self) -> str:
        """Return the JWK Set of what verifies tokens now."""
        return render_jwks(self._published.values())

    def signing(self) -> SigningKey:
        """Return the key that signs now."""
        return signing_key(self.keys, now=self.clock.now())

    async def look(self, *, force: bool = False) -> None:
        """Read the store, and make the keys that are due; DependencyError where that fails."""
        now = self.clock.now()
        due, revoked = await asyncio.to_thread(self._read, now, force)
        self._take(due, now)
        self.revocations = Revocations.of([*self.revocations, *revoked], now=now)

    def _read(self, now: datetime, force: bool) -> tuple[tuple[SigningKey, ...], list[Revocation]]:
        kept = load_keys(self.database)
        due = rotate_keys(kept, now=now, algorithm=self.algorithm(), force=force)
        if due != kept:
            store_keys(self.database, due)
            _log.info("signing_keys", kids=[key.kid for key in due])
        return due, load_revocations(self.database, now=now)

    async def withdraw(self, kid: str) -> bool:
        """Take a key back at once: its tokens are refused from now on, another key signs."""
        now = self.clock.now()
        if kid not in {key.kid for key in self.keys}:
            return False
        marked = tuple(_withdrawn(key) if key.kid == kid else key for key in self.keys)
        due = rotate_keys(marked, now=now, algorithm=self.algorithm())
        await asyncio.to_thread(store_keys, self.database, due)
        self._take(due, now)
        return True

    async def revoke(self, found: Iterable[Revocation]) -> None:
        """Put revocations in force and keep them; DependencyError leaves them in force here."""
        now = self.clock.now()
        added = list(found)
        self.revocations = Revocations.of([*self.revocations, *added], now=now)
        await asyncio.to_thread(store_revocations, self.database, added)

    def _take(self, keys: tuple[SigningKey, ...], now: datetime) -> None:
        published = published_keys(keys, now=now)
        different = published.keys() != self._published.keys()
        self.keys, self._published = keys, published
        if different:
            self.changed()


def revocation(kind: RevokedKind, value: str, *, time: datetime, reason: str = "") -> Revocation:
    """Return a revocation that is remembered as long as it matters."""
    life_s = TRANSACTION_S if kind is RevokedKind.TRANSACTION else SESSION_S
    return Revocation(
        kind=kind, value=value, time=time, until=time + timedelta(seconds=life_s), reason=reason
    )


def _withdrawn(key: SigningKey) -> SigningKey:
    return SigningKey(
        kid=key.kid,
        algorithm=key.algorithm,
        key=key.key,
        signs_from=key.signs_from,
        withdrawn=True,
    )
