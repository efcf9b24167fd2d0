"""What signs the JWT-SVIDs of one trust domain: a few keys, one of them in use, replaced in time.

A key is published before it signs and stays published after it has stopped, so that whoever holds
an older or a newer bundle still verifies every token in use:

    created |-- AHEAD: published only --| signs for PERIOD | -- AFTER: published only --|

Stateless: `rotate_keys` looks at the keys and the time of day and returns the keys that there
should be. A clock that was set back finds a key that signs all the same; one that leapt ahead finds
none in its time, and a new key signs at once.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PERIOD: Final = timedelta(days=1)
"""How long a key signs. Shorter: more keys to publish; longer: a key that leaked is worth more."""

AHEAD: Final = timedelta(minutes=30)
"""How long a key is published before it signs: six times the refresh hint of the bundle."""

AFTER: Final = timedelta(hours=2)
"""How long it stays published: beyond the longest token it signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtKey:
    """A signing key (ECDSA P-256) and its time.

    Attributes:
        kid: names it in tokens and bundles: a digest of the public key.
        key: the private key.
        signs_from: the first instant at which it signs.
    """

    kid: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    signs_from: datetime

    @property
    def published_until(self) -> datetime:
        """The instant from which it is in no bundle."""
        return self.signs_from + PERIOD + AHEAD + AFTER


def create_key(signs_from: datetime) -> JwtKey:
    """Return a new key that signs from `signs_from` on."""
    key = ec.generate_private_key(ec.SECP256R1())
    return JwtKey(kid=kid_of(key.public_key()), key=key, signs_from=signs_from)


def rotate_keys(
    keys: tuple[JwtKey, ...], *, now: datetime, force: bool = False
) -> tuple[JwtKey, ...]:
    """Return the keys that there should be now, the oldest first; never none.

    Args:
        keys: those that there are.
        now: the time of day.
        force: publish the next key now, whatever the age of the present one.
    """
    kept = tuple(one for one in keys if now < one.published_until)
    if not any(one.signs_from <= now < one.signs_from + PERIOD + AHEAD for one in kept):
        # None is in its time: the first start, or a clock that leapt in either direction.
        return (*kept, create_key(now))
    newest = max(kept, key=lambda one: one.signs_from)
    due = newest.signs_from <= now and (force or now >= newest.signs_from + PERIOD - AHEAD)
    return (*kept, create_key(now + AHEAD)) if due else kept


def signing_key(keys: tuple[JwtKey, ...], *, now: datetime) -> JwtKey:
    """Return the key that signs now: of those whose time has come, the newest."""
    ready = [one for one in keys if one.signs_from <= now] or list(keys)
    return max(ready, key=lambda one: one.signs_from)


def kid_of(key: ec.EllipticCurvePublicKey) -> str:
    """Return the name of a key: the first 32 digits of the SHA-256 of its public half (DER)."""
    raw = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(raw).hexdigest()[:32]
