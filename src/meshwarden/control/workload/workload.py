"""The Workload API of one running mesh, from its policy, its authority and its files.

Composes who may have what (`registrations`), what each process holds (`issuance`), what verifies it
(`trust`) and the socket. Looks once a second: what is due is renewed, streams are shown what
changed.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from meshwarden.adapters.spiffe.bundle_endpoint import BundleEndpoint
from meshwarden.adapters.spiffe.server import WorkloadServer
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import Mesh
from meshwarden.control.workload.admission import Admission
from meshwarden.control.workload.federation import Federation
from meshwarden.control.workload.issuance import Issued, WorkloadIssuing
from meshwarden.control.workload.refusals import Refusals
from meshwarden.control.workload.registrations import Registrations
from meshwarden.control.workload.trust import Trust
from meshwarden.identity import Authority, Registration, TrustBundle, issue_svid, renewal_time
from meshwarden.kernel import (
    Chance,
    Clock,
    ConfigError,
    Finding,
    MeshwardenError,
    Severity,
    SpiffeId,
)
from meshwarden.policy import AccessPolicy

LOOK_S: Final = 1.0
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Workload:
    """Everything about the Workload API of one mesh.

    Attributes:
        authority: what signs X.509-SVIDs now.
        roots: what verifies them, also while authorities are rotated.
        policy: the policy in force.
        federation_changed: told when the bundle of another trust domain has changed.
        lists: certificate revocation lists, DER.
        issued: told each X.509-SVID before it is handed out.
        revoked: whether the certificate with this SHA-256 is.
        withheld: whether a holder is to get nothing more.
        ended: until when issued JWT-SVIDs of an identity count no more; None: all count.
        lifetime_s: of each X.509-SVID.
    """

    mesh: Mesh
    layout: Layout
    clock: Clock
    chance: Chance
    tell: Callable[[Finding], None]
    authority: Callable[[], Authority]
    roots: Callable[[], TrustBundle]
    policy: Callable[[], AccessPolicy]
    federation_changed: Callable[[], None] = lambda: None
    lists: Callable[[], Sequence[bytes]] = list
    issued: Callable[[Issued], None] = lambda _: None
    revoked: Callable[[str], bool] = lambda _: False
    withheld: Callable[[str], bool] = lambda _: False
    ended: Callable[[SpiffeId], datetime | None] = lambda _: None
    lifetime_s: int
    trust: Trust = field(init=False)
    federation: Federation = field(init=False)
    issuing: WorkloadIssuing = field(init=False)
    server: WorkloadServer = field(init=False)
    _registrations: Registrations = field(init=False)
    _shown: tuple[object, ...] = field(init=False, default=())
    _endpoint: BundleEndpoint | None = field(init=False, default=None)
    _present_again: datetime = field(init=False, default=datetime.min.replace(tzinfo=UTC))

    def __post_init__(self) -> None:
        own = self.policy().trust_domain
        if any(domain.trust_domain == own for domain in self.mesh.federation):
            raise ConfigError(
                "mesh.federation",
                f"{own} is this mesh's own trust domain and cannot be federated",
                hint="another's bundle would vouch for identities of your own",
            )
        self._registrations = Registrations(
            mesh=self.mesh, layout=self.layout, policy=self.policy, refused=self._refuse_file
        )
        self.federation = Federation(
            domains=self.mesh.federation,
            directory=self.layout.federation_dir,
            clock=self.clock,
            tell=self.tell,
            changed=self.federation_changed,
        )
        self.trust = Trust(
            clock=self.clock,
            path=self.layout.jwt_keys,
            roots=self.roots,
            federated=self.federation.bundles,
        )
        refusals = Refusals(clock=self.clock, tell=self.tell)
        self.issuing = WorkloadIssuing(
            clock=self.clock,
            chance=self.chance,
            authority=self.authority,
            jwt_keys=self.trust.jwt_keys,
            known=self._registrations.known,
            trusted=self.trust.bundles,
            lists=self.lists,
            issued=self._record,
            revoked=self.revoked,
            withheld=self.withheld,
            ended=self.ended,
            record_refusal=refusals.record,
            connected=self._is_connected,
            lifetime_s=self.lifetime_s,
        )
        self.server = WorkloadServer(
            issuing=self.issuing,
            admit=Admission(known=self._registrations.known),
            ended=self.issuing.forget,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context lasts.

        Raises:
            MeshwardenError: where the socket cannot be made.
        """
        await asyncio.to_thread(self._open_passage)
        async with (
            self.server.serving(self.layout.workload_socket),
            self.federation.running(),
            self._publishing(),
        ):
            self._shown = self._showing()
            looking = asyncio.create_task(self._look())
            try:
                yield
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _publishing(self) -> AsyncIterator[None]:
        """Serve our own bundle to other trust domains, where the mesh file asks for it."""
        settings = self.mesh.bundle_endpoint
        if settings is None:
            yield
            return
        self._endpoint = BundleEndpoint(bundle=lambda: self.trust.own)
        self._present()
        async with self._endpoint.serving(settings.host, settings.port):
            yield

    def _present(self) -> None:
        """Give the bundle endpoint a certificate, and a new SVID at half of its life."""
        settings, now = self.mesh.bundle_endpoint, self.clock.now()
        if settings is None or self._endpoint is None or now < self._present_again:
            return
        if settings.certificates and settings.key:
            self._endpoint.present_files(settings.certificates, settings.key)
            self._present_again = now + timedelta(hours=1)
        elif settings.identity:
            svid = issue_svid(
                self.authority(), settings.identity, now=now, serial=self.chance.serial(),
                lifetime_s=self.lifetime_s,
            )  # fmt: skip
            _log.info("svid_issued", to="bundle-endpoint", sha256=svid.sha256)
            self._endpoint.present(svid.certificate_chain, svid.private_key.reveal())
            self._present_again = renewal_time(svid, uniform=self.chance.uniform())

    def known(self) -> Sequence[Registration]:
        """Return the registrations in force."""
        return self._registrations.known()

    def refresh(self) -> None:
        """Show every stream what there is now."""
        self.server.refresh()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.trust.update()
            try:
                self._present()
            except MeshwardenError as error:  # the endpoint keeps what it has, until it ends
                _log.error("renewal_failed", of="bundle-endpoint", error=str(error))
            renewed = self.issuing.renew_due()
            showing = self._showing()
            if showing != self._shown:
                self._shown = showing
                self.server.refresh()
            elif renewed:
                self.server.refresh(renewed)

    def _showing(self) -> tuple[object, ...]:
        """Return what every stream depends on; two that are equal show the same."""
        bundles = self.trust.bundles()
        return (
            tuple(
                (name, one.sequence, one.der, tuple(one.jwt_keys)) for name, one in bundles.items()
            ),
            tuple(self.lists()),
            tuple(self._registrations.known()),
        )

    def _open_passage(self) -> None:
        """As root, let other accounts pass through to the socket; they can list nothing."""
        self.layout.workload_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            for directory in (self.layout.state, self.layout.run_dir, self.layout.workload_dir):
                directory.chmod(directory.stat().st_mode & 0o7777 | 0o011)

    def _is_connected(self, instance: tuple[int, int]) -> bool:
        return self.server.callers.has(instance)

    def _record(self, issued: Issued) -> None:
        svid, facts = issued.svid, issued.facts
        _log.info(
            "svid_renewed" if issued.renewed else "svid_issued",
            to="workload",
            identity=str(svid.identity),
            pid=facts.pid,
            uid=facts.uid,
            sha256=svid.sha256,
            not_after=svid.not_after.isoformat(),
        )
        self.issued(issued)

    def _refuse_file(self, error: MeshwardenError) -> None:
        now = self.clock.now()
        finding = Finding(
            time=int(now.timestamp() * 1_000_000) * 1000,
            code="identity.registrations_refused",
            subject=str(self.layout.registrations),
            severity=Severity.HIGH,
            sentence=f"The changed registrations are not in force, the last good ones are: {error}",
        )
        self.tell(finding)
