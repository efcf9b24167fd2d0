"""The token service: takes requests, answers with tokens or refusals, and keeps the record.

What holds whatever happens:

- No token leaves before its link of the chain is on the disk; a disk that is full stops issuance.
- What is revoked gets no further token from the moment that `revoke` is called.
- Neither a token nor a raw session id is logged; digests and `txn` are.
- Every refusal has a reason that is counted; none of them is an exception that reaches a client.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.records import (
    append_links,
    forget,
    load_chain,
    load_holders,
    spend,
)
from meshwarden.adapters.storage.tokens.signals import forget_received
from meshwarden.control.tokens.journal import Journal
from meshwarden.control.tokens.keeping import Keeping
from meshwarden.control.tokens.subjects import Subjects
from meshwarden.control.tokens.weighing import RiskKeeper, Weighed
from meshwarden.kernel import Clock, DependencyError, MeshwardenError, SpiffeId, StateError
from meshwarden.tokens import (
    Exchanged,
    ExchangeRequest,
    Expected,
    Holder,
    IssuedToken,
    Link,
    OAuthCode,
    OAuthError,
    Subject,
    SubjectKind,
    TokenError,
    TokenPolicy,
    UnverifiedToken,
    VerificationKey,
    VerifiedToken,
    exchange,
    issue_token,
    parse_request,
    verify_txn_token,
)
from meshwarden.tokens.model import SKEW_S
from meshwarden.tokens.signals.verify import MAX_AGE_S

LOOK_S: Final = 1.0
FLUSH_S: Final = 5.0
FORGET_S: Final = 600.0
LINKS_S: Final = 30 * 86400
"""How long chains are kept: long enough to look into what a month's report shows."""

NEVER_HANDED: Final = OAuthError(
    error=OAuthCode.INVALID_REQUEST,
    reason="exchange.never_handed",
    description="subject_token was never handed to this workload: no rule lets anybody do so",
)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A workload that authenticated by mutual TLS, and the key of its certificate where given."""

    identity: SpiffeId
    certificate_key: VerificationKey | None = None


@dataclass(kw_only=True)
class TokenService:
    """One replica of the token service of a trust domain.

    Attributes:
        policy: issuance policy; replaced as a whole when its file changes.
        database: what the replicas share.
        clock: the time of day.
        draw: returns a fresh transaction id that nobody can guess.
        keeping: signing keys and revocations.
        subjects: verifies subject tokens.
        risk: weighs requests.
        suspicion: what findings about a workload add to the risk of what it carries.
        demanded: told the transaction of a replacement that is refused until its subject proves
            themselves more surely.
        outside: which workloads nobody can have handed a token of these holders.
        strayed: told the transaction of a token that such a workload wanted replaced, and which.
        failed: told when state cannot be kept, and once it can again (None).
    """

    policy: TokenPolicy
    database: Database
    clock: Clock
    draw: Callable[[], str]
    keeping: Keeping
    subjects: Subjects
    risk: RiskKeeper
    suspicion: Callable[[SpiffeId], float] = lambda _: 0.0
    demanded: Callable[[str, OAuthError], None] = lambda _, __: None
    outside: Callable[[Sequence[Holder], Collection[str]], frozenset[str]] = lambda _, __: (
        frozenset()
    )
    strayed: Callable[[str, SpiffeId], None] = lambda _, __: None
    failed: Callable[[MeshwardenError | None], None] = lambda _: None
    outcomes: Counter[str] = field(default_factory=Counter)
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(lambda links: append_links(self.database, links))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context lasts; DependencyError where the store cannot be used at all."""
        await self.keeping.look()
        tasks = [
            asyncio.create_task(self._every(LOOK_S, self.keeping.look)),
            asyncio.create_task(self._every(FLUSH_S, self._keep)),
            asyncio.create_task(self._every(FORGET_S, self._forget)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with contextlib.suppress(DependencyError):
                await self._keep()
            await asyncio.to_thread(self.database.close)

    async def answer(self, raw: bytes, caller: Caller) -> IssuedToken | OAuthError:
        """Return the answer to a token request in the body of a form."""
        request = parse_request(raw)
        if isinstance(request, OAuthError):
            return self._refused(request, caller)
        return await self.exchange(request, caller)

    async def exchange(self, request: ExchangeRequest, caller: Caller) -> IssuedToken | OAuthError:
        """Return a token, or why there is none."""
        try:
            subject = await self._subject(request, caller)
            found = await self._exchange(request, caller, subject)
        except TokenError as error:
            found = OAuthError(
                error=OAuthCode.INVALID_REQUEST, reason=error.code,
                description=f"subject_token is refused: {error.why} ({error.clause})",
            )  # fmt: skip
        except (DependencyError, StateError) as error:
            _log.error("token_not_issued", code=error.code, error=str(error))
            found = OAuthError(
                error=OAuthCode.UNAVAILABLE, reason=error.code,
                description="the token service cannot issue at the moment",
            )  # fmt: skip
        if isinstance(found, OAuthError):
            return self._refused(found, caller)
        self.outcomes["issued"] += 1
        return found

    def verify(self, unverified: UnverifiedToken) -> VerifiedToken:
        """Return what one of our own tokens proves now; TokenError."""
        expected = Expected(trust_domain=self.policy.trust_domain, issuer=self.policy.issuer)
        return verify_txn_token(
            unverified,
            self.keeping.published(),
            expected,
            now=self.clock.now(),
            revoked=self.keeping.revocations,
        )

    async def spend(self, token: VerifiedToken) -> bool:
        """Return whether this is the first use of a token, anywhere; DependencyError."""
        return await asyncio.to_thread(
            spend, self.database, token.digest, expires=token.claims.expires
        )

    async def chain(self, transaction: str) -> list[Link]:
        """Return who asked for which token of a transaction, the first one first."""
        return await asyncio.to_thread(load_chain, self.database, transaction)

    async def holders(self, transactions: Sequence[str]) -> dict[str, list[Holder]]:
        """Return who asked for tokens of these transactions, by transaction."""
        return await asyncio.to_thread(load_holders, self.database, transactions)

    async def _subject(self, request: ExchangeRequest, caller: Caller) -> Subject:
        return await self.subjects.verify(
            request.subject_token,
            request.kind,
            caller.identity,
            now=self.clock.now(),
            certificate_key=caller.certificate_key,
        )

    async def _exchange(
        self, request: ExchangeRequest, caller: Caller, subject: Subject
    ) -> IssuedToken | OAuthError:
        weighed = await self._weigh(request, caller, subject)
        found = exchange(
            request,
            caller.identity,
            subject,
            self.policy,
            now=self.clock.now(),
            transaction=self.draw(),
            risk=weighed.assessment if weighed else None,
            revoked=self.keeping.revocations,
        )
        if not isinstance(found, Exchanged):
            if weighed is not None and found.reason in {"exchange.risk", "exchange.step_up"}:
                _log.info(
                    "risk_weighed", score=round(weighed.assessment.score, 2),
                    factors={one.name: round(one.weight, 2) for one in weighed.assessment.factors},
                )  # fmt: skip
            if subject.replaced is not None and found.error is OAuthCode.STEP_UP:
                self.demanded(subject.replaced.claims.transaction, found)
            return found
        if subject.replaced is not None:
            transaction = subject.replaced.claims.transaction
            if await self._is_outside(transaction, caller):
                self.strayed(transaction, caller.identity)
                return NEVER_HANDED
        issued, link = issue_token(found, self.keeping.signing())
        await self.journal.append(link)
        if weighed is not None:
            self.risk.learn(weighed)
        return issued

    async def _is_outside(self, transaction: str, caller: Caller) -> bool:
        """Return whether nobody can have handed `caller` a token of `transaction`."""
        holders = (await self.holders([transaction])).get(transaction, [])
        return bool(self.outside(holders, [str(caller.identity)]))

    async def _weigh(
        self, request: ExchangeRequest, caller: Caller, subject: Subject
    ) -> Weighed | None:
        """Weigh what comes from outside; a replacement was weighed when its token was issued."""
        if self.policy.risk is None or subject.kind is not SubjectKind.ACCESS_TOKEN:
            return None
        return await self.risk.weigh(
            request,
            subject,
            self.policy.risk,
            now=self.clock.now(),
            suspicion=self.suspicion(caller.identity),
        )

    def _refused(self, error: OAuthError, caller: Caller) -> OAuthError:
        self.outcomes[error.reason] += 1
        _log.info(
            "token_refused", client=str(caller.identity), error=error.error.value,
            reason=error.reason,
        )  # fmt: skip
        return error

    async def _keep(self) -> None:
        await self.risk.flush()
        await asyncio.to_thread(self.database.checkpoint)

    async def _forget(self) -> None:
        now = self.clock.now()
        await asyncio.to_thread(forget, self.database, now=now, links_s=LINKS_S)
        too_old = now.timestamp() - MAX_AGE_S - SKEW_S  # they would not be taken again
        await asyncio.to_thread(forget_received, self.database, too_old)
        if self.policy.risk is not None:
            await self.risk.expire(self.policy.risk, now=now)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
                self.failed(None)
            except (DependencyError, StateError) as error:
                self.failed(error)
