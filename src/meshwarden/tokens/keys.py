"""The keys that sign transaction tokens: a few, one of them in use, replaced in time, with overlap.

A key is published before it signs and stays published after it has stopped, so that no hop refuses
a valid token because its keys are newer or older than the token:

    created |-- AHEAD: published only --| signs for PERIOD | -- AFTER: published only --|

Stateless, as for JWT-SVIDs: `rotate_keys` looks at the keys and the time and returns those that
there should be. Replicas keep them in one store, and the first to store a new key wins.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from meshwarden.kernel import ConfigError
from meshwarden.tokens.jwks import thumbprint
from meshwarden.tokens.jws import JoseKey, PrivateKey, VerificationKey, jose_key
from meshwarden.tokens.model import MAX_LIFETIME_S, SKEW_S

ALGORITHM: Final = "ES256"
"""Signed once, verified at six hops: see docs/decisions/0011-transaction-tokens.md."""

PERIOD: Final = timedelta(days=1)
"""How long a key signs. Shorter: more keys at each hop; longer: a leaked key is worth more."""

AHEAD: Final = timedelta(minutes=10)
"""How long it is published before it signs: proxies are pushed keys in milliseconds, other readers
of the JWK Set fetch it every five minutes."""

AFTER: Final = timedelta(seconds=MAX_LIFETIME_S + 2 * SKEW_S)
"""How long it stays published: beyond the longest token that it signed, and skew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A signing key and its time.

    Attributes:
        kid: RFC 7638 thumbprint of the public half.
        algorithm: ES256, EdDSA or RS256.
        key: the private key.
        signs_from: the first instant at which it signs.
        withdrawn: taken back at once (its secret may be known): neither signs nor verifies.
    """

    kid: str
    algorithm: str
    key: PrivateKey = field(repr=False)
    signs_from: datetime
    withdrawn: bool = False
    jose: JoseKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "jose", jose_key(self.key))

    @property
    def published_until(self) -> datetime:
        """The instant from which it is in no JWK Set."""
        return self.signs_from + PERIOD + AHEAD + AFTER

    @property
    def public(self) -> VerificationKey:
        """What verifies its signatures."""
        return VerificationKey(kid=self.kid, algorithm=self.algorithm, key=self.key.public_key())


def create_key(signs_from: datetime, *, algorithm: str = ALGORITHM) -> SigningKey:
    """Return a new key; ConfigError `token.algorithm` where we do not sign with that algorithm."""
    key: PrivateKey
    if algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    elif algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    elif algorithm == "RS256":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        raise ConfigError(
            "token.algorithm", f"tokens are not signed with {algorithm[:20]}",
            hint="ES256, EdDSA or RS256",
        )  # fmt: skip
    return restore_key(key, algorithm=algorithm, signs_from=signs_from)


def restore_key(
    key: PrivateKey, *, algorithm: str, signs_from: datetime, withdrawn: bool = False
) -> SigningKey:
    """Return a key that was kept."""
    return SigningKey(
        kid=thumbprint(key.public_key()),
        algorithm=algorithm,
        key=key,
        signs_from=signs_from,
        withdrawn=withdrawn,
    )


def rotate_keys(
    keys: Iterable[SigningKey], *, now: datetime, algorithm: str = ALGORITHM, force: bool = False
) -> tuple[SigningKey, ...]:
    """Return the keys that there should be now, the oldest first; never none that can sign.

    Args:
        keys: those that there are.
        now: the time of day.
        algorithm: of keys that are made.
        force: publish the next key now, whatever the age of the present one.
    """
    kept = tuple(one for one in keys if now < one.published_until)
    usable = [one for one in kept if not one.withdrawn]
    if not any(one.signs_from <= now < one.signs_from + PERIOD + AHEAD for one in usable):
        # The first start, a withdrawn key, or a clock that leapt in either direction.
        return (*kept, create_key(now, algorithm=algorithm))
    newest = max(usable, key=lambda one: one.signs_from)
    due = newest.signs_from <= now and (
        force or newest.algorithm != algorithm or now >= newest.signs_from + PERIOD - AHEAD
    )
    return (*kept, create_key(now + AHEAD, algorithm=algorithm)) if due else kept


def signing_key(keys: Iterable[SigningKey], *, now: datetime) -> SigningKey:
    """Return the key that signs now: of those whose time has come, the newest."""
    usable = [one for one in keys if not one.withdrawn]
    ready = [one for one in usable if one.signs_from <= now] or usable
    return max(ready, key=lambda one: one.signs_from)


def published_keys(keys: Iterable[SigningKey], *, now: datetime) -> dict[str, VerificationKey]:
    """Return what verifies tokens now, by `kid`."""
    return {one.kid: one.public for one in keys if now < one.published_until and not one.withdrawn}
