"""The facts about tokens: unverified and verified ones, and what a transaction token says.

A token of this mesh is a JWS that says who started a piece of work, for what purpose and with which
parameters (OAuth Transaction Tokens). It names the workload that asked for it, never the one that
presents it: that one proves itself by mutual TLS.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from meshwarden.kernel.hidden import Hidden

HEADER: Final = "txn-token"
TYPE: Final = "txntoken+jwt"
MAX_TOKEN_BYTES: Final = 8192
"""What one header line may cost at every hop; a proxy takes 60 KiB of headers in all."""

LIFETIME_S: Final = 30
"""Long enough for six hops and a retry, short enough that a stolen token is soon worth nothing."""

MAX_LIFETIME_S: Final = 300
MIN_LIFETIME_S: Final = 3
SKEW_S: Final = 30


@final
class UnverifiedToken(Hidden):
    """A token as it came in; it prints as stars and as its digest, never as itself.

    >>> str(UnverifiedToken("eyJhbGciOiJub25lIn0.e30."))
    '*****'
    """

    __slots__ = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the token, hexadecimal: what logs and records may hold."""
        return hashlib.sha256(self._text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a transaction token says (Transaction Tokens, section "Txn-Token Body").

    Attributes:
        issuer: the token service; None where its keys alone name it.
        audience: the trust domain.
        issued: seconds since the epoch.
        expires: seconds since the epoch.
        transaction: `txn`, the same in all replacements.
        subject: `sub`, unique in the trust domain.
        scopes: what it authorizes, ascending.
        requester: `req_wl`, the SPIFFE ID of the workload that asked for it.
        acr: how surely the subject was authenticated; None where nobody was.
        auth_time: when, seconds since the epoch.
        session: hash of the subject's session at the identity provider, see `session_hash`.
        details: `tctx`, what stays the same through the whole transaction.
        context: `rctx`, where the transaction came from.
    """

    issuer: str | None = None
    audience: str
    issued: int
    expires: int
    transaction: str
    subject: str
    scopes: tuple[str, ...]
    requester: str
    acr: str | None = None
    auth_time: int | None = None
    session: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the claims by their registered names."""
        found: dict[str, Any] = {"iss": self.issuer} if self.issuer else {}
        found |= {
            "iat": self.issued, "exp": self.expires, "aud": self.audience,
            "txn": self.transaction, "sub": self.subject, "scope": " ".join(self.scopes),
            "req_wl": self.requester,
        }  # fmt: skip
        more = {"acr": self.acr, "auth_time": self.auth_time, "sid": self.session}
        found |= {name: value for name, value in more.items() if value is not None}
        contexts = {"tctx": dict(self.details), "rctx": dict(self.context)}
        return found | {name: value for name, value in contexts.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """A transaction token that holds: its claims, the key that signed it, its SHA-256."""

    claims: Claims
    kid: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token as it is handed out, with what it says."""

    token: UnverifiedToken
    claims: Claims
    kid: str


def session_hash(issuer: str, session: str) -> str:
    """Return the name under which a session is known inside: 128 bits, hexadecimal, not reversible.

    A raw session id would let its reader act as the session at the identity provider.
    """
    return hashlib.sha256(f"{issuer}\0{session}".encode()).hexdigest()[:32]
