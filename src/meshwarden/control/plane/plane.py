"""The control plane of one mesh: pushes policy and certificates, records calls, raises findings.

What holds whatever happens:

- Started again after a kill, it serves the same sockets; sidecars reconnect and are sent only what
  changed. A policy file that has become unusable meanwhile is replaced by the last accepted one.
- What a sidecar refuses stays as it was there, and becomes a finding that names sidecar, resource
  and reason.
- At the end, what the sidecars wrote last is still recorded: where they go down at the same time,
  the end waits for them a little.

Here the parts are put together and run: `publishing` (policy, certificates to sidecars),
`revocation`, `rotation`, the Workload API, the recorder; `alarms` says what goes wrong.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from meshwarden.adapters.envoy.accesslog_reopen import reopen_logs
from meshwarden.adapters.envoy.ads import SECRETS, DiscoveryServer
from meshwarden.adapters.envoy.delta import Acknowledgement
from meshwarden.adapters.envoy.tls import SVID, federated_secret
from meshwarden.adapters.envoy.verification import Verification
from meshwarden.adapters.process import accepts
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import Mesh
from meshwarden.control.plane.alarms import Alarms
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.drift import Enforcement
from meshwarden.control.plane.edges import Edges, open_edges
from meshwarden.control.plane.enforcing import Enforcer
from meshwarden.control.plane.identities import Identities
from meshwarden.control.plane.losses import watch_losses, watch_undecided
from meshwarden.control.plane.naming import naming_of
from meshwarden.control.plane.published import Published
from meshwarden.control.plane.publishing import Publisher
from meshwarden.control.plane.quarantine import Quarantine
from meshwarden.control.plane.revocation import Revoker
from meshwarden.control.plane.rotation import Rotation
from meshwarden.control.plane.severing import Severing
from meshwarden.control.plane.status import SidecarStatus, Status
from meshwarden.control.plane.superseded import Superseded
from meshwarden.control.plane.targets import Targets
from meshwarden.control.plane.telling import Teller
from meshwarden.control.plane.throttling import Throttling
from meshwarden.control.plane.tokens import MeshTokens
from meshwarden.control.recording import LogSource, Recorder
from meshwarden.control.watching import Watch
from meshwarden.control.workload.federation import federated_roots
from meshwarden.control.workload.issuance import Issued
from meshwarden.control.workload.workload import Workload
from meshwarden.identity import Svid
from meshwarden.kernel import Chance, Clock, MeshwardenError, SpiffeId
from meshwarden.tokens.edge import EdgeAccess

LOOK_S: Final = 1.0
LAST_LINES_LOOK_S: Final = 0.05
LAST_LINES_LOOKS: Final = 20  # a second; a sidecar needs a tenth of it to end


@dataclass(kw_only=True)
class ControlPlane:
    """Everything that one `meshwarden serve` holds.

    Attributes:
        mesh: what runs.
        layout: where.
        clock: the time of day.
        certificates: what is issued to the sidecars, and when it is renewed.
        identities: the register of all that was issued and revoked, and the authorities.
        chance: serial numbers.
        recorder: access logs into recorded calls.
        teller: takes findings.
        first: the policy to begin with.
        rejected: why the policy file was passed over for the last accepted one; None if it was not.
        tokens: the token service; None where the mesh has none.
        watch: scores the recorded calls; None where nothing is watched.
        publisher: keeps the sidecars on the policy in force.
        enforcer: tells the sidecars what is cut off, and whom to trust.
        revoker: revokes certificates.
        quarantine: cuts services off.
        throttling: slows services down.
        rotation: replaces authorities.
        workload: the SPIFFE Workload API.
    """

    mesh: Mesh
    layout: Layout
    clock: Clock
    certificates: Certificates
    identities: Identities
    chance: Chance
    recorder: Recorder
    teller: Teller
    first: Published
    rejected: MeshwardenError | None
    tokens: MeshTokens | None = None
    watch: Watch | None = None
    publisher: Publisher = field(init=False)
    enforcer: Enforcer = field(init=False)
    revoker: Revoker = field(init=False)
    quarantine: Quarantine = field(init=False)
    throttling: Throttling = field(init=False)
    rotation: Rotation = field(init=False)
    workload: Workload = field(init=False)
    enforcement: Enforcement = field(init=False)
    _alarms: Alarms = field(init=False)
    _server: DiscoveryServer = field(init=False)
    _edges: Edges = field(init=False)

    def __post_init__(self) -> None:
        self._alarms = Alarms(
            teller=self.teller, clock=self.clock, trust_domain=self.first.policy.trust_domain
        )
        self._server = DiscoveryServer(self._answered)
        self.enforcement = Enforcement(
            published=lambda: self.published,
            answers=self._server.answers,
            connected=self._server.connected,
            tell=self._alarms.not_enforced,
        )
        self.certificates.failed = self._alarms.renewal_failed
        self.certificates.issued = self._issued
        self.certificates.withheld = self._is_withheld
        self.identities.unrecorded = self._alarms.unrecorded
        self.quarantine = Quarantine(
            layout=self.layout,
            publisher=lambda: self.publisher,
            enforcer=lambda: self.enforcer,
            identities=self.identities,
            clock=self.clock,
            show_workloads=self._show_workloads,
        )
        self.throttling = Throttling(publisher=lambda: self.publisher, server=self._server)
        self.identities.quarantined = self.quarantine.held
        self.identities.unsent = self.quarantine.withheld
        self.identities.awaited = self.quarantine.awaited
        self.enforcement.isolated = self.quarantine.services
        severing = Severing(layout=self.layout)
        self.enforcer = Enforcer(
            server=self._server,
            identities=self.identities,
            sidecars=lambda: self.published.sidecars,
        )
        targets = Targets(
            identities=self.identities, services=tuple(self.mesh.services), clock=self.clock
        )
        self.revoker = Revoker(
            enforcer=self.enforcer,
            targets=targets,
            identities=self.identities,
            certificates=self.certificates,
            sidecars=lambda: self.published.sidecars,
            clock=self.clock,
            severing=severing,
            superseded=Superseded(mark=severing.mark),
            show_workloads=self._show_workloads,
        )
        self._edges = open_edges(self.mesh, self._alarms.edge_certificate)
        self.publisher = Publisher(
            mesh=self.mesh,
            layout=self.layout,
            server=self._server,
            certificates=self.certificates,
            identities=self.identities,
            alarms=self._alarms,
            published=self.first,
            federated=self._federated,
            certified=self.revoker.keep_withheld,
            replaced=self._replaced,
            verification=self._verification,
            access=self._access,
            shown=self._edges.secret,
            isolated=self.quarantine.services,
            awaited=self.quarantine.awaited,
            throttled=self.throttling.rates,
        )
        self.rotation = Rotation(
            directory=self.layout.authority_dir,
            brought=self.mesh.authority.certificates is not None,
            server=self._server,
            identities=self.identities,
            certificates=self.certificates,
            sidecars=tuple(self.mesh.services),
            push=self.enforcer.push,
            renewed=self.publisher.renewed,
            clock=self.clock,
            chance=self.chance,
        )
        self.workload = Workload(
            mesh=self.mesh,
            layout=self.layout,
            clock=self.clock,
            chance=self.chance,
            tell=self.teller.tell,
            authority=lambda: self.certificates.authority,
            roots=lambda: self.identities.trust.bundle,
            policy=lambda: self.published.policy,
            federation_changed=self.publisher.federate,
            lists=self.identities.crls_der,
            issued=self._issued_to_workload,
            revoked=lambda sha256: sha256 in self.identities.register.revoked,
            withheld=self._is_withheld,
            ended=self.tokens_end,
            lifetime_s=self.certificates.lifetime_s,
        )
        targets.federated = self.workload.federation.bundles
        if self.tokens is not None:
            self.tokens.join(self)

    @property
    def published(self) -> Published:
        """The policy in force."""
        return self.publisher.published

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context lasts; the loops' failures end it.

        The Workload API listens first: services are started once the sidecars' sockets accept.
        """
        tokens = contextlib.nullcontext() if self.tokens is None else self.tokens.running()
        async with self.workload.running(), tokens, self._running():
            yield

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        if not self.identities.lists_revocations:
            self._alarms.no_lists()
        await self.publisher.begin(self.rejected)
        self._follow_logs()
        for name, uid in self.layout.proxies().items():
            await self._server.open(name, self.layout.xds_socket(name), uid=uid)
        admins = {name: self.layout.admin_socket(name) for name in self.mesh.services}
        try:
            with _first_failure():
                async with asyncio.TaskGroup() as loops:
                    tasks = [
                        loops.create_task(self.certificates.run(self.publisher.renewed)),
                        loops.create_task(self.recorder.run()),
                        loops.create_task(self.publisher.watch()),
                        loops.create_task(
                            watch_losses(admins, self.clock, self._alarms.calls_lost)
                        ),
                        loops.create_task(self._look()),
                        loops.create_task(self.enforcement.run()),
                    ]
                    if self.tokens is not None:
                        unasked = watch_undecided(admins, self.clock, self._alarms.undecided)
                        tasks.append(loops.create_task(unasked))
                    if self.watch is not None:
                        tasks.append(loops.create_task(self.watch.run()))
                    yield
                    for task in tasks:
                        task.cancel()
        finally:
            await self.rotation.close()
            await self._server.close()
            await self.recorder.close(settle=await self._sidecars_ended())
            if self.watch is not None:
                await self.watch.close()
            self.teller.retry()

    async def reload_policy(self) -> str | None:
        """Push the policy file as it stands now; return the error that kept it out, if any."""
        return await self.publisher.reload()

    async def settled(self) -> None:
        """Wait until every sidecar has answered all that is published."""
        await asyncio.gather(*(self._server.settled(name) for name in self.mesh.services))

    def status(self) -> Status:
        """Return the plane's state as it is now."""
        return Status(
            trust_domain=self.published.policy.trust_domain,
            policy=self.published.digest,
            policy_error=self.publisher.error,
            sidecars=tuple(self._sidecar_status(name) for name in self.mesh.services),
            calls=self.recorder.figures(),
            watch=self.watch.figures() if self.watch else None,
        )

    def _replaced(self, published: Published) -> None:
        """Carry a policy that has come into force to what names things by it."""
        self.recorder.rename(naming_of(published.policy))
        if self.watch is not None:
            self.watch.declare(published.policy)
        if self.tokens is not None:
            self.tokens.reload()

    def _answered(self, answer: Acknowledgement) -> None:
        self._alarms.refused_by_sidecar(answer)
        if (answer.type_url, answer.name, answer.error) == (SECRETS, SVID, None):
            self.revoker.presents(answer.node)

    def _follow_logs(self) -> None:
        for name in self.mesh.services:
            admin = self.layout.admin_socket(name)
            self.recorder.follow(
                LogSource(
                    name=name,
                    owner=str(self.published.policy.services[name].identity),
                    path=self.layout.access_log(name),
                    reopen=partial(reopen_logs, admin),
                )
            )

    async def _look(self) -> None:
        """Keep revocation lists fresh, rotations going, and findings that waited stored."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.teller.retry()
            self.identities.look()
            for name in await asyncio.to_thread(self._edges.look):
                self.publisher.show(name)
            await self.rotation.look()
            self.enforcer.look()

    async def _sidecars_ended(self) -> bool:
        """Return whether all sidecars have ended, at once or in the second that this takes."""
        sockets = [self.layout.admin_socket(name) for name in self.mesh.services]
        for _ in range(LAST_LINES_LOOKS):
            if not any([await accepts(socket) for socket in sockets]):
                return True
            await asyncio.sleep(LAST_LINES_LOOK_S)
        return False

    def _issued(self, name: str, svid: Svid, renewed: bool) -> None:
        authority = self.certificates.authority
        self.identities.issued(name, svid, authority=authority, renewed=renewed)

    def _issued_to_workload(self, issued: Issued) -> None:
        self._issued(issued.facts.holder, issued.svid, issued.renewed)

    def _is_withheld(self, holder: str) -> bool:
        return holder in self.identities.register.withheld or self.quarantine.withholds(holder)

    def tokens_end(self, identity: SpiffeId) -> datetime | None:
        """Return until when issued JWT-SVIDs of `identity` count no more; None: all count.

        Of a service in quarantine none does, until it is let back in.
        """
        if str(identity) in self.quarantine.names():
            return datetime.max.replace(tzinfo=UTC)
        ended = self.identities.register.tokens_ended.get(str(identity))
        return None if ended is None else ended.time

    def _show_workloads(self) -> None:
        self.workload.refresh()

    def _verification(self) -> Verification | None:
        return None if self.tokens is None else self.tokens.verification()

    def _access(self, name: str) -> EdgeAccess | None:
        return None if self.tokens is None else self.tokens.access(name)

    def _federated(self) -> Secret:
        return federated_secret(federated_roots(self.workload.federation.bundles().values()))

    def _sidecar_status(self, name: str) -> SidecarStatus:
        svid = self.certificates.current(name)
        return SidecarStatus(
            service=name,
            connected=self._server.connected(name),
            pending=self._server.pending(name),
            refused={
                answer.name: answer.error
                for answer in self._server.answers(name)
                if answer.error is not None
            },
            expires=svid.not_after.isoformat().replace("+00:00", "Z"),
            renews_in_s=self.certificates.renews_in_s(name),
            not_enforced=list(self.enforcement.drift(name)),
        )


@contextlib.contextmanager
def _first_failure() -> Iterator[None]:
    """Raise the error that ended a loop as itself, so that it becomes one line."""
    try:
        yield
    except ExceptionGroup as failures:
        known = failures.subgroup(MeshwardenError)
        if known is None:
            raise
        raise known.exceptions[0] from failures
