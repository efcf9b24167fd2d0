"""Who decides what the authorizer is asked; `control.plane.authorizing` does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from meshwarden.tokens import UnverifiedToken
from meshwarden.tokens.challenge import Refusal
from meshwarden.tokens.edge import EdgeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A request that is let in: its transaction token, and the transaction."""

    token: UnverifiedToken
    transaction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRequest:
    """A request that a sidecar refused, as its access log tells.

    Attributes:
        source: URI of the caller's certificate, which a handshake proved.
        method: HTTP method.
        path: with its query.
        claims: of its verified transaction token.
    """

    source: str
    method: str
    path: str
    claims: Mapping[str, Any] = field(default_factory=dict)


class Decider(Protocol):
    """Answers for one sidecar."""

    async def enter(self, asked: EdgeRequest) -> Entered | Refusal:
        """Decide whether a request from outside is let in."""

    async def spend(self, unverified: UnverifiedToken) -> Refusal | None:
        """Take a token's one use; a refusal where it was used before."""

    def hear(self, refused: RefusedRequest) -> None:
        """Take note of a request that this sidecar refused."""

    async def hold(self, transaction: str) -> Refusal | None:
        """Return the challenge to answer instead of a failure in `transaction`, in 250 ms."""
