"""The token service as a part of a running mesh: its policy file, its revocations at every hop.

A revocation is in force here at once, then at all sidecars by `containment`, and on the disk; the
two go side by side, and the answer says whether both are done.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx
import structlog

from meshwarden.adapters.envoy.verification import Verification
from meshwarden.adapters.maxmind import open_locations
from meshwarden.control.layout import Layout
from meshwarden.control.plane.authorizing import Authorizer
from meshwarden.control.plane.published import digest_of
from meshwarden.control.tokens.handing import Handing
from meshwarden.control.tokens.keeping import revocation
from meshwarden.control.tokens.opening import load_token_policy, open_tokens
from meshwarden.control.tokens.presenting import Presentations
from meshwarden.control.tokens.receiving import Receiver
from meshwarden.control.tokens.service import TokenService
from meshwarden.control.tokens.settings import TokenSettings
from meshwarden.control.tokens.suspicion import Suspicion
from meshwarden.control.tokens.transmitting import Transmitter
from meshwarden.kernel import (
    Chance,
    Clock,
    DependencyError,
    Finding,
    MeshwardenError,
    Severity,
    SpiffeId,
)
from meshwarden.policy import AccessPolicy
from meshwarden.tokens import RevokedKind, VerificationKey
from meshwarden.tokens.edge import EdgeAccess
from meshwarden.tokens.presentation import Presented
from meshwarden.tokens.signals.model import EventType
from meshwarden.tokens.signals.transmit import session_revoked, workload_risk

if TYPE_CHECKING:
    from meshwarden.control.plane.plane import ControlPlane

LOOK_S: Final = 0.5
MAX_WAITING: Final = 1000
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedTokens:
    """What a revocation did.

    Attributes:
        enforced_ms: milliseconds until the last connected sidecar had confirmed.
        pending: services whose sidecars have not.
        recorded: whether it is on the disk.
    """

    enforced_ms: float
    pending: tuple[str, ...]
    recorded: bool


@dataclass(kw_only=True)
class MeshTokens:
    """The token service of one mesh.

    Attributes:
        service: the token service itself.
        settings: its place in the mesh file.
        client: fetches issuers' keys.
        suspicion: what findings add to risk.
        transmitter: sends what we find.
        receiver: takes what others find.
        presentations: who presents which token.
        authorizer: answers the sidecars.
    """

    service: TokenService
    settings: TokenSettings
    client: httpx.AsyncClient
    suspicion: Suspicion
    transmitter: Transmitter
    receiver: Receiver = field(init=False)
    presentations: Presentations = field(init=False)
    authorizer: Authorizer = field(init=False)
    _handing: Handing = field(init=False)
    _plane: "ControlPlane" = field(init=False, repr=False)
    _seen: str = field(init=False, default="")
    _failing: bool = field(init=False, default=False)
    _waiting: deque[tuple[EventType, dict[str, Any], dict[str, str]]] = field(
        init=False, default_factory=lambda: deque(maxlen=MAX_WAITING)
    )

    def join(self, plane: "ControlPlane") -> None:
        """Become a part of `plane`."""
        self._plane = plane
        plane.identities.contained_tokens = self.contained
        plane.teller.heard = self._hear
        self._handing = Handing(clock=self.service.clock)
        self.presentations = Presentations(
            holders=self.service.holders,
            outside=self._handing.outside,
            life_s=lambda: float(self.service.policy.lifetime_s),
            tell=plane.teller.tell,
            clock=self.service.clock,
        )
        self.service.outside = self._handing.outside
        self.service.strayed = self._strayed
        self.service.keeping.changed = plane.publisher.verify
        self.authorizer = Authorizer(service=self.service, policy=lambda: plane.published.policy)
        self.receiver = Receiver(service=self.service, contain=plane.enforcer.enforce_containment)
        self.service.suspicion = self.suspicion.of
        self.service.failed = self._failed
        self.service.demanded = self.authorizer.demands.hear_refusal
        self.service.subjects.workload_keys = self._workload_keys
        self.service.subjects.workload_ended = plane.tokens_end

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context lasts."""
        self._handing.follow(self._plane.published.policy)
        async with self.client, self.service.running():
            await asyncio.to_thread(self.transmitter.open)
            await self.authorizer.open(self._plane.layout)
            loops = (
                self._watch(), self._transmit(), self.presentations.run(), self._fetch_keys(),
            )  # fmt: skip
            tasks = [asyncio.create_task(loop) for loop in loops]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                await self.authorizer.close()

    def access(self, name: str) -> EdgeAccess | None:
        """Return what the edge of a service lets in; None: its service decides."""
        return self.service.policy.edges.get(self._plane.published.policy.services[name].identity)

    def verification(self) -> Verification:
        """Return what every hop verifies tokens with now."""
        policy = self.service.policy
        return Verification(
            issuer=policy.issuer,
            audience=self._plane.published.policy.trust_domain,
            keys=self.service.keeping.jwks(),
        )

    def contained(self) -> Mapping[RevokedKind, frozenset[str]]:
        """Return what every hop must refuse now."""
        return self.service.keeping.revocations.contained(now=self.service.clock.now())

    async def revoke(self, kind: RevokedKind, value: str, *, reason: str = "") -> RevokedTokens:
        """Revoke a session, subject or transaction; return once every hop refuses it."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        found = revocation(kind, value, time=self.service.clock.now(), reason=reason)
        recording = asyncio.create_task(self.service.keeping.revoke([found]))
        await asyncio.sleep(0)  # it is in force here before anybody is told
        pending = await self._plane.enforcer.enforce_containment()
        enforced_ms = (loop.time() - start) * 1000
        recorded = True
        try:
            await recording
        except DependencyError as error:
            recorded = False
            self._failed(error)
        self._tell_receivers(kind, value, reason)
        _log.warning("token_revoked", kind=kind.value, reason=reason, pending=pending)
        return RevokedTokens(enforced_ms=enforced_ms, pending=tuple(pending), recorded=recorded)

    def reload(self) -> str | None:
        """Take the policy file as it stands now; return the error that kept it out, if any."""
        policy = self._plane.published.policy
        self._handing.follow(policy)
        try:
            self.service.policy = load_token_policy(
                self.settings.policy_path,
                trust_domain=policy.trust_domain,
                services=identities_of(policy),
            )
        except MeshwardenError as error:
            sentence = f"The changed token policy is not in force, the last good one is: {error}"
            self._tell("tokens.policy_refused", sentence)
            return str(error)
        self._plane.publisher.verify()
        self._plane.publisher.open_edges()
        return None

    async def _watch(self) -> None:
        self._seen = await asyncio.to_thread(digest_of, self.settings.policy_path)
        while True:
            await asyncio.sleep(LOOK_S)
            digest = await asyncio.to_thread(digest_of, self.settings.policy_path)
            if digest != self._seen:
                self._seen = digest
                self.reload()

    async def _fetch_keys(self) -> None:
        """Fetch the issuers' keys before the first customer comes: an edge waits a second."""
        while not await self.service.subjects.begin():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)  # another program has no event to await

    def _hear(self, finding: Finding) -> None:
        """Take a finding: it adds to risk, and receivers of our signals are told of grave ones."""
        self.suspicion.hear(finding)
        grave = finding.severity in {Severity.HIGH, Severity.CRITICAL}
        if grave and finding.subject.startswith("spiffe://"):
            now = self.service.clock.now()
            details = workload_risk(now, "HIGH", f"{finding.code}: {finding.sentence}")
            subject = {"format": "uri", "uri": finding.subject}
            self._waiting.append((EventType.RISK_LEVEL_CHANGE, details, subject))

    def _tell_receivers(self, kind: RevokedKind, value: str, reason: str) -> None:
        """Have receivers told of a revoked subject of one of their issuers."""
        if kind is not RevokedKind.SUBJECT:
            return
        details = session_revoked(self.service.clock.now(), reason or "revoked")
        for issuer in self.service.policy.issuers.values():
            if value.startswith(issuer.prefix):
                sub = value.removeprefix(issuer.prefix)
                subject = {"format": "iss_sub", "iss": issuer.issuer, "sub": sub}
                self._waiting.append((EventType.SESSION_REVOKED, details, subject))

    async def _transmit(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                while self._waiting:
                    event, details, subject = self._waiting[0]
                    await self.transmitter.emit(event, details, subject)
                    self._waiting.popleft()
                await self.transmitter.look()
            except DependencyError as error:
                _log.warning("signals_not_kept", error=str(error))

    def _workload_keys(self) -> dict[str, VerificationKey]:
        return {
            key.kid: VerificationKey(kid=key.kid, algorithm="ES256", key=key.key.public_key())
            for key in self._plane.workload.trust.jwt_keys()
        }

    def _strayed(self, transaction: str, source: SpiffeId) -> None:
        """Take note that a workload wanted a token replaced that it never got."""
        services = self._plane.published.policy.services
        presented = Presented(
            transaction=transaction,
            source=str(source),
            destination=str(services[self.settings.service].identity),
            refused=True,
        )
        self.presentations.present(presented)

    def _failed(self, error: MeshwardenError | None) -> None:
        if error is not None and not self._failing:
            self._tell("tokens.state", f"No token is issued until its record can be kept: {error}")
        self._failing = error is not None

    def _tell(self, code: str, sentence: str) -> None:
        self._plane.teller.tell(
            Finding(
                time=int(self.service.clock.now().timestamp() * 1_000_000) * 1000,
                code=code,
                subject=self.settings.service,
                severity=Severity.HIGH,
                sentence=sentence,
            )
        )


def open_mesh_tokens(
    settings: TokenSettings, layout: Layout, policy: AccessPolicy, *, clock: Clock, chance: Chance
) -> MeshTokens:
    """Return the token service of a mesh; MeshwardenError where policy or state are unusable."""
    client = httpx.AsyncClient(trust_env=False, follow_redirects=False)
    service = open_tokens(
        load_token_policy(
            settings.policy_path,
            trust_domain=policy.trust_domain,
            services=identities_of(policy),
        ),
        layout.token_state,
        clock=clock,
        draw=lambda: f"{chance.serial():032x}",
        client=client,
        secret=b"".join(chance.serial().to_bytes(16) for _ in range(2)),
        locate=open_locations(settings.locations),
    )
    return MeshTokens(
        service=service,
        settings=settings,
        client=client,
        suspicion=Suspicion(clock),
        transmitter=Transmitter(
            database=service.database,
            client=client,
            clock=clock,
            chance=chance,
            issuer=service.policy.issuer,
        ),
    )


def identities_of(policy: AccessPolicy) -> dict[str, SpiffeId]:
    """Return the identities of an access policy's services by name."""
    return {name: service.identity for name, service in policy.services.items()}
