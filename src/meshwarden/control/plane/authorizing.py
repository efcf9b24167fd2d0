"""What the sidecars ask at run time: who comes in at the edge, and whether a token is used again.

At an edge the token service is in the same process: the exchange of the outside token, with the
risk of the request, is the decision. Whatever cannot be decided is refused, and counted.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from meshwarden.adapters.envoy.authorizer.filters import HOLDS_MS
from meshwarden.adapters.envoy.authorizer.ports import Entered, RefusedRequest
from meshwarden.adapters.envoy.authorizer.server import AuthorizerServer
from meshwarden.control.layout import Layout
from meshwarden.control.tokens.inside import Demand, Demands, asked_of, demanded_assurance
from meshwarden.control.tokens.service import Caller, TokenService
from meshwarden.kernel import DependencyError, SpiffeId
from meshwarden.policy import AccessPolicy
from meshwarden.tokens import (
    ExchangeRequest,
    IssuedToken,
    OAuthError,
    SubjectKind,
    TokenError,
    UnverifiedToken,
)
from meshwarden.tokens.challenge import Refusal, refusal_of, step_up, unavailable, used_before
from meshwarden.tokens.edge import EdgeRequest, parse_bearer

_HOLDS_S: Final = HOLDS_MS / 1000
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Authorizer:
    """The authorizer of one mesh.

    Attributes:
        service: exchanges tokens, and keeps which were spent.
        policy: the access policy in force.
    """

    service: TokenService
    policy: Callable[[], AccessPolicy]
    demands: Demands = field(default_factory=Demands)
    _server: AuthorizerServer = field(init=False, default_factory=AuthorizerServer)
    _going_on: set[asyncio.Task[IssuedToken | OAuthError]] = field(init=False, default_factory=set)

    async def open(self, layout: Layout) -> None:
        """Answer every sidecar on a socket of its own; DependencyError."""
        uids = layout.proxies()
        for name in layout.names:
            decider = _OfSidecar(authorizer=self, name=name)
            socket = layout.authorizer_socket(name)
            await self._server.open(decider, socket, uid=uids[name])

    async def close(self) -> None:
        """Stop answering."""
        await self._server.close()

    async def enter(self, asked: EdgeRequest, edge: SpiffeId) -> Entered | Refusal:
        """Return the transaction token of a request at `edge`, or what its sender is told."""
        bearer = parse_bearer(asked.authorization)
        if isinstance(bearer, OAuthError):
            self.service.outcomes[bearer.reason] += 1
            return refusal_of(bearer, asked.scopes)
        request = ExchangeRequest(
            audience=self.service.policy.trust_domain,
            scopes=asked.scopes,
            kind=SubjectKind.ACCESS_TOKEN,
            subject_token=bearer,
            context=asked.context,
            details=asked.details,
        )
        found = await self._exchange(request, Caller(identity=edge))
        if isinstance(found, OAuthError):
            return refusal_of(found, asked.scopes)
        return Entered(token=found.token, transaction=found.claims.transaction)

    async def spend(self, unverified: UnverifiedToken) -> Refusal | None:
        """Take a token's one use; a refusal where it was used, or where nobody can tell."""
        try:
            first = await self.service.spend(self.service.verify(unverified))
        except TokenError as error:
            self.service.outcomes[error.code] += 1
            return used_before(error.code)
        except DependencyError as error:
            self.service.outcomes["once.unknown"] += 1
            _log.error("single_use_unknown", code=error.code, error=str(error))
            return unavailable("once.unknown")
        if first:
            return None
        self.service.outcomes["once.used"] += 1
        return used_before("once.used")

    def hear(self, refused: RefusedRequest, callee: SpiffeId) -> None:
        """Take note of what `callee` refused, where a stronger login would have avoided it."""
        transaction = refused.claims.get("txn")
        asked = asked_of(refused.source, callee, refused.method, refused.path)
        if asked is None or not isinstance(transaction, str):
            return
        levels = self.service.policy.assurance
        acr = demanded_assurance(self.policy(), asked, dict(refused.claims), levels)
        if acr is not None:
            self.demands.hear(transaction, Demand(acr_values=(acr,)))

    async def hold(self, transaction: str) -> Refusal | None:
        """Return the challenge to answer instead of a failure in `transaction`, if any."""
        found = await self.demands.wait(transaction, _HOLDS_S)
        if found is None:
            return None
        self.service.outcomes["inside.step_up"] += 1
        return step_up(found.acr_values, found.max_age_s, reason="inside.step_up")

    async def _exchange(self, request: ExchangeRequest, caller: Caller) -> IssuedToken | OAuthError:
        """Exchange; where Envoy gives up meanwhile, what was begun goes on (an issuer's keys)."""
        task = asyncio.create_task(self.service.exchange(request, caller))
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        return await asyncio.shield(task)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfSidecar:
    """What one sidecar may ask: its socket says which it is, the policy in force who that is."""

    authorizer: Authorizer
    name: str

    @property
    def _identity(self) -> SpiffeId:
        return self.authorizer.policy().services[self.name].identity

    async def enter(self, asked: EdgeRequest) -> Entered | Refusal:
        return await self.authorizer.enter(asked, self._identity)

    async def spend(self, unverified: UnverifiedToken) -> Refusal | None:
        return await self.authorizer.spend(unverified)

    def hear(self, refused: RefusedRequest) -> None:
        self.authorizer.hear(refused, self._identity)

    async def hold(self, transaction: str) -> Refusal | None:
        return await self.authorizer.hold(transaction)
