"""The control plane of one mesh: pushes policy and certificates, records calls, raises findings.

What holds whatever happens:

- Started again after a kill, it serves the same sockets; sidecars reconnect and are sent only what
  changed. A policy file that has become unusable meanwhile is replaced by the last accepted one.
- A policy change is compiled whole before anything is pushed; an error pushes nothing. Changes are
  taken one after the other: an older one that took longer never replaces a newer one.
- What a sidecar refuses stays as it was there, and becomes a finding that names sidecar, resource
  and reason.
- At the end, what the sidecars wrote last is still recorded: where they go down at the same time,
  the end waits for them a little.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret

from meshwarden.adapters.envoy.accesslog_reopen import reopen_logs
from meshwarden.adapters.envoy.ads import FILTERS, SECRETS, DiscoveryServer
from meshwarden.adapters.envoy.border import build_border
from meshwarden.adapters.envoy.delta import Acknowledgement
from meshwarden.adapters.envoy.listeners import build_policy_filters
from meshwarden.adapters.envoy.snapshot import build_snapshot
from meshwarden.adapters.envoy.tls import federated_secret, svid_secret
from meshwarden.adapters.process import accepts
from meshwarden.control.fabric import plan_border
from meshwarden.control.hosts import store_hosts
from meshwarden.control.layout import BORDER, Layout
from meshwarden.control.mesh import Mesh
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.identities import Identities
from meshwarden.control.plane.losses import watch_losses
from meshwarden.control.plane.naming import naming_of
from meshwarden.control.plane.published import (
    Published,
    digest_of,
    load_published,
    store_accepted,
)
from meshwarden.control.plane.revocation import Revoker
from meshwarden.control.plane.rotation import Rotation
from meshwarden.control.plane.severing import Severing
from meshwarden.control.plane.status import SidecarStatus, Status
from meshwarden.control.plane.telling import Teller
from meshwarden.control.recording import LogSource, Recorder
from meshwarden.control.workload.federation import federated_roots
from meshwarden.control.workload.issuance import Issued
from meshwarden.control.workload.workload import Workload
from meshwarden.identity import Svid
from meshwarden.kernel import Chance, Clock, Finding, MeshwardenError, Severity

POLICY_LOOK_S: Final = 0.5
IDENTITY_LOOK_S: Final = 1.0
LAST_LINES_LOOK_S: Final = 0.05
LAST_LINES_LOOKS: Final = 20  # a second; a sidecar needs a tenth of it to end
_log = structlog.get_logger()


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
        published: the policy in force.
        workload: the SPIFFE Workload API.
        rejected: why the policy file was passed over for the last accepted one; None if it was not.
    """

    mesh: Mesh
    layout: Layout
    clock: Clock
    certificates: Certificates
    identities: Identities
    chance: Chance
    recorder: Recorder
    teller: Teller
    published: Published
    rejected: MeshwardenError | None
    revoker: Revoker = field(init=False)
    rotation: Rotation = field(init=False)
    workload: Workload = field(init=False)
    _server: DiscoveryServer = field(init=False)
    _policy_error: str | None = field(init=False, default=None)
    _seen: str = field(init=False)
    _changing: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.certificates.failed = self._renewal_failed
        self._seen = digest_of(self.mesh.policy_path)
        self._server = DiscoveryServer(self._answered)
        self.certificates.issued = self._issued
        self.certificates.withheld = lambda name: name in self.identities.register.withheld
        self.identities.unrecorded = self._unrecorded
        self.revoker = Revoker(
            server=self._server,
            identities=self.identities,
            certificates=self.certificates,
            sidecars=lambda: self.published.sidecars,
            clock=self.clock,
            severing=Severing(layout=self.layout),
            show_workloads=self._show_workloads,
        )
        self.rotation = Rotation(
            directory=self.layout.authority_dir,
            brought=self.mesh.authority.certificates is not None,
            server=self._server,
            identities=self.identities,
            certificates=self.certificates,
            sidecars=tuple(self.mesh.services),
            push=self.revoker.push,
            renewed=self._renewed,
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
            federation_changed=self._federate,
            lists=self.identities.crls_der,
            issued=self._issued_to_workload,
            revoked=lambda sha256: sha256 in self.identities.register.revoked,
            withheld=lambda holder: holder in self.identities.register.withheld,
            lifetime_s=self.certificates.lifetime_s,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context lasts; the loops' failures end it.

        The Workload API listens first: services are started once the sidecars' sockets accept.
        """
        async with self.workload.running(), self._running():
            yield

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        if self.rejected is None:
            await self._keep_accepted()
        else:
            self._refuse_policy(self.rejected)
        if not self.identities.lists_revocations:
            self._raise(
                code="identity.no_lists",
                subject=self.published.policy.trust_domain,
                sentence=(
                    "The authority may not sign revocation lists (its keyUsage lacks cRLSign): a"
                    " revoked certificate is refused on every request, but not in the handshake."
                ),
            )
        self._certify(self.published)
        self._follow_logs()
        self._publish_all()
        for name, uid in self.layout.proxies().items():
            await self._server.open(name, self.layout.xds_socket(name), uid=uid)
        admins = {name: self.layout.admin_socket(name) for name in self.mesh.services}
        try:
            with _first_failure():
                async with asyncio.TaskGroup() as loops:
                    tasks = [
                        loops.create_task(self.certificates.run(self._renewed)),
                        loops.create_task(self.recorder.run()),
                        loops.create_task(self._watch_policy()),
                        loops.create_task(watch_losses(admins, self.clock, self._tell_loss)),
                        loops.create_task(self._watch_identities()),
                    ]
                    yield
                    for task in tasks:
                        task.cancel()
        finally:
            await self.rotation.close()
            await self._server.close()
            await self.recorder.close(settle=await self._sidecars_ended())
            self.teller.retry()

    async def reload_policy(self) -> str | None:
        """Push the policy file as it stands now; return the error that kept it out, if any."""
        async with self._changing:
            return await self._reload_policy()

    async def _reload_policy(self) -> str | None:
        self._seen = digest_of(self.mesh.policy_path)
        try:
            published = await asyncio.to_thread(
                load_published, self.mesh.policy_path, self.mesh, self.layout
            )
            self._certify(published)
        except MeshwardenError as error:
            self._refuse_policy(error)
            return self._policy_error
        self._policy_error = None
        if published.digest != self.published.digest:
            before, self.published = self.published, published
            self._publish_border()
            for name in self.mesh.services:
                self._publish_change(name, before)
            self.recorder.rename(naming_of(published.policy))
            await self._keep_accepted()  # the sidecars are sent theirs meanwhile
            _log.info("policy_published", sha256=published.digest)
        return None

    async def settled(self) -> None:
        """Wait until every sidecar has answered all that is published."""
        await asyncio.gather(*(self._server.settled(name) for name in self.mesh.services))

    def status(self) -> Status:
        """Return the plane's state as it is now."""
        return Status(
            trust_domain=self.published.policy.trust_domain,
            policy=self.published.digest,
            policy_error=self._policy_error,
            sidecars=tuple(self._sidecar_status(name) for name in self.mesh.services),
            calls=self.recorder.figures(),
        )

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

    async def _keep_accepted(self) -> None:
        """Keep the policy in force for a start while the file is broken; no condition of it."""
        try:
            await asyncio.to_thread(store_accepted, self.published, self.layout)
        except OSError as error:
            self._raise(
                code="policy.not_kept",
                subject=str(self.layout.accepted_policy),
                sentence=f"The policy is in force, but cannot be kept for the next start: {error}",
            )

    async def _sidecars_ended(self) -> bool:
        """Return whether all sidecars have ended, at once or in the second that this takes."""
        sockets = [self.layout.admin_socket(name) for name in self.mesh.services]
        for _ in range(LAST_LINES_LOOKS):
            if not any([await accepts(socket) for socket in sockets]):
                return True
            await asyncio.sleep(LAST_LINES_LOOK_S)
        return False

    def _certify(self, published: Published) -> None:
        """Hold an SVID for every service under the identity that the policy gives it."""
        services = published.policy.services
        self.certificates.keep({name: services[name].identity for name in self.mesh.services})
        self.revoker.keep_withheld()

    def _publish_all(self) -> None:
        self._publish_border()
        for name in self.mesh.services:
            self._publish(name)

    def _publish_border(self) -> None:
        """Open the ways out first: a sidecar is sent nowhere before the border leads there."""
        if self.layout.isolated:
            passages = plan_border(self.published.policy, self.mesh, self.layout)
            self._server.publish(BORDER, build_border(passages))
            self._store_hosts()

    def _store_hosts(self) -> None:
        try:
            store_hosts(self.published.policy, self.layout)
        except OSError as error:
            self._raise(
                code="policy.hosts_not_written",
                subject=str(self.layout.run_dir),
                sentence=f"Services may not find newly allowed names without a proxy: {error}",
            )

    def _publish(self, name: str) -> None:
        snapshot = build_snapshot(
            self.published.sidecars[name],
            self.published.filters[name],
            svid=_secret_of(self.certificates.current(name)),
            bundle=self.identities.trust.bundle.pem,
            crls=self.identities.crls,
            containment=self.identities.containment(),
            federated=self._federated_secret(),
        )
        self._server.publish(name, snapshot)

    def _publish_change(self, name: str, before: Published) -> None:
        """Publish what differs from the policy before; mostly that is the filters alone."""
        sidecar, filters = self.published.sidecars[name], self.published.filters[name]
        if sidecar != before.sidecars[name]:
            self._publish(name)
        elif filters != before.filters[name]:
            for resource, config in build_policy_filters(sidecar, filters).items():
                self._server.update(name, FILTERS, resource, config)

    def _renewed(self, name: str) -> None:
        secret = _secret_of(self.certificates.current(name))
        self._server.update(name, SECRETS, secret.name, secret)

    def _issued(self, name: str, svid: Svid, renewed: bool) -> None:
        authority = self.certificates.authority
        self.identities.issued(name, svid, authority=authority, renewed=renewed)

    async def _watch_identities(self) -> None:
        """Keep revocation lists fresh, and rotations going."""
        while True:
            await asyncio.sleep(IDENTITY_LOOK_S)
            self.identities.look()
            await self.rotation.look()
            self.revoker.look()

    def _show_workloads(self) -> None:
        self.workload.refresh()

    def _issued_to_workload(self, issued: Issued) -> None:
        self.identities.issued(
            issued.facts.holder,
            issued.svid,
            authority=self.certificates.authority,
            renewed=issued.renewed,
        )

    def _federated_secret(self) -> Secret:
        return federated_secret(federated_roots(self.workload.federation.bundles().values()))

    def _federate(self) -> None:
        secret = self._federated_secret()
        for name in self.mesh.services:
            if self.published.sidecars[name].federated:
                self._server.update(name, SECRETS, secret.name, secret)

    async def _watch_policy(self) -> None:
        """Reload the file when it has changed, and then not again until the next look.

        A file that is just being written can be valid, and mean something else.
        """
        last = self._seen
        while True:
            await asyncio.sleep(POLICY_LOOK_S)
            self.teller.retry()
            digest = digest_of(self.mesh.policy_path)
            if digest != self._seen and digest == last:
                await self.reload_policy()
            last = digest

    def _tell_loss(self, service: str, sentence: str) -> None:
        self._raise(code="record.lost", subject=service, sentence=sentence)

    def _refuse_policy(self, error: MeshwardenError) -> None:
        if self._policy_error == str(error):
            return
        self._policy_error = str(error)
        self._raise(
            code="policy.refused",
            subject=str(self.mesh.policy_path),
            sentence=f"The changed policy is not in force, the last good one is: {error}",
        )

    def _unrecorded(self, error: MeshwardenError) -> None:
        self._raise(
            code="identity.unrecorded",
            subject=self.published.policy.trust_domain,
            sentence=(
                "What was revoked is in force, but a restart of the control plane would forget it:"
                f" {error}"
            ),
        )

    def _renewal_failed(self, error: MeshwardenError) -> None:
        self._raise(
            code="identity.renewal_failed",
            subject=self.published.policy.trust_domain,
            sentence=(
                "No certificate is issued, the sidecars run on those that they have until these"
                f" expire: {error}"
            ),
        )

    def _answered(self, answer: Acknowledgement) -> None:
        if answer.error is None:
            return
        kind = answer.type_url.rpartition(".")[2]
        self._raise(
            code="dataplane.refused",
            subject=answer.node,
            sentence=(
                f"The sidecar of {answer.node} refused {kind} {answer.name!r} and runs on its last"
                f" good one: {answer.error[:500]}"
            ),
            evidence=(f"{kind}/{answer.name}@{answer.version}",),
        )

    def _raise(
        self, *, code: str, subject: str, sentence: str, evidence: tuple[str, ...] = ()
    ) -> None:
        self.teller.tell(
            Finding(
                time=_nanoseconds(self.clock.now()),
                code=code,
                subject=subject,
                severity=Severity.HIGH,
                sentence=sentence,
                evidence=evidence,
            )
        )

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


def _secret_of(svid: Svid) -> Secret:
    return svid_secret(svid.certificate_chain, svid.private_key.reveal())


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
