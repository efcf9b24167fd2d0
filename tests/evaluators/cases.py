"""Seeded policies and questions for a cluster: those of the agreement with Envoy, given places."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.e2e.policy_cases import CALLEE, Cases
from tests.e2e.policy_tokens import Token, TokenService

from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, Connection, HttpRequest

HERE = SpiffeId.parse("spiffe://bank.example/ns/core/sa/callee")


class Claims(TokenService):
    """Makes no tokens, only what they claim: nothing here verifies a signature."""

    def __init__(self) -> None: ...

    def token(self, claims: Mapping[str, Any], kind: str) -> Token:
        """Return a token that no one signed."""
        trusted = kind in {"right", "media type"}
        refused = kind in {"expired", "audience", "signature"}
        return Token(text=kind, claims=claims if trusted else None, refused=refused)


@dataclass
class ClusterCases:
    """A reproducible source of cases whose callee runs in the namespace `core`."""

    seed: int
    cases: Cases = field(init=False)

    def __post_init__(self) -> None:
        self.cases = Cases(self.seed, Claims())

    def policy(self, number: int) -> AccessPolicy:
        """Return a policy for `callee`."""
        made = self.cases.policy(number)
        callee = replace(made.services["callee"], identity=HERE)
        return AccessPolicy(
            trust_domain=made.trust_domain, services={**made.services, "callee": callee}
        )

    def request(self, policy: AccessPolicy) -> tuple[HttpRequest, Token | None]:
        """Return a request to `callee`, and the token that comes with it."""
        asked, token = self.cases.request(policy)
        assert asked.destination == CALLEE
        return replace(asked, destination=HERE), token

    def connection(self) -> Connection:
        """Return a connection to `callee`."""
        return replace(self.cases.connection(), destination=HERE)
