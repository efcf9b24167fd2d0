"""Revokes single certificates, and waits until every sidecar has confirmed it.

Steps, in the order of `Revoker.revoke`:

0. Where a whole identity is meant, its JWT-SVIDs end with it: nobody here takes one that was issued
   until then, at the token service or the Workload API.
1. Where a service's own certificate is revoked and it shall go on, its sidecar gets a fresh one. It
   leaves its pooled connections, so that none of its own calls is refused by what follows; so does
   one that has had a fresh one since.
2. The revocation is appended to the register: from here on a killed control plane knows it again.
3. Sidecars are told: containment and endpoints first, which cut off open connections and refuse
   every request; then revocation lists, which refuse new handshakes.
4. The register is synced to the disk, and the sidecars' confirmations are awaited, both bounded: a
   sidecar that is not connected gets it when it comes back, before anything else.
5. Beside that, in an isolated mesh, what a service's own revoked certificate still carries, or one
   that it has presented before (`superseded`), is cut in its network (`severing`).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from meshwarden.adapters.envoy.ads import SECRETS
from meshwarden.adapters.envoy.model import Sidecar
from meshwarden.adapters.envoy.tls import SVID, svid_secret
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.enforcing import Enforcer
from meshwarden.control.plane.identities import Identities
from meshwarden.control.plane.severing import FINISH_S, Severed, Severing
from meshwarden.control.plane.superseded import Superseded
from meshwarden.control.plane.targets import Targets
from meshwarden.identity import Kind, Record
from meshwarden.identity.registration import WORKLOAD_HOLDER
from meshwarden.kernel import Clock, InputError, MeshwardenError

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """What a revocation did.

    Attributes:
        certificates: the records of the certificates revoked.
        replaced: services that got a fresh certificate.
        withheld: services that have none that counts any more.
        enforced_ms: milliseconds from the call until the last connected sidecar had confirmed.
        pending: services whose sidecars have not confirmed.
        recorded: whether the register has it on the disk.
        severed: how many connections were cut in the network.
        unsevered: services of which that failed: streams in flight go on there.
    """

    certificates: tuple[Record, ...]
    replaced: tuple[str, ...]
    withheld: tuple[str, ...]
    enforced_ms: float
    pending: tuple[str, ...]
    recorded: bool
    severed: int = 0
    unsevered: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Revoker:
    """Revokes certificates of a running mesh.

    Attributes:
        enforcer: tells the sidecars.
        targets: finds what is to be revoked.
        identities: register and lists.
        certificates: what the sidecars hold.
        sidecars: what each sidecar is to do now.
        clock: the time of day.
        severing: cuts connections in the network.
        superseded: knows which of them were begun under earlier certificates.
        show_workloads: shows holders of the Workload API what they may have now.
    """

    enforcer: Enforcer
    targets: Targets
    identities: Identities
    certificates: Certificates
    sidecars: Callable[[], Mapping[str, Sidecar]]
    clock: Clock
    severing: Severing
    superseded: Superseded
    show_workloads: Callable[[], None] = lambda: None

    async def revoke(self, target: str, *, reason: str = "", replace: bool = True) -> Revoked:
        """Revoke what `target` names; return once it is enforced, or the wait is over.

        Args:
            target: a service (all its live certificates), a SPIFFE ID (all that name it), a SHA-256
                or serial number in hexadecimal, or the certificate itself as PEM. As PEM it may be
                one of a federated trust domain, with its chain.
            reason: kept in the record.
            replace: give services and processes whose own certificate is revoked a fresh one.

        Raises:
            InputError, VerificationError: as `Targets.find`.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        now = self.clock.now()
        found = self.targets.find(target)
        digests = {record.sha256 for record in found}
        own = sorted(
            name
            for name in self.sidecars()
            if (held := self.certificates.held(name)) is not None and held.sha256 in digests
        )
        replaced = self._replace(own) if replace else []
        others = {record.instance for record in found} & set(self.sidecars()) - set(own)
        await self.enforcer.leave_pools(replaced, others, found)
        withheld = [] if replace else own + _workloads(found)
        records = self._records(found, withheld, reason, now)
        if self.targets.names_identity(target):
            records += _tokens_ended({record.identity for record in found}, reason, now)
        recorded = self.identities.note(records)
        self.show_workloads()
        cutting = asyncio.create_task(self._sever(own, digests))
        synced, pending = await asyncio.gather(self._synced(), self.enforcer.enforce())
        enforced_ms = (loop.time() - start) * 1000
        severed = await cutting
        if own and withheld:  # what it opened until then, it could not open any more now
            severed = await self.severing.cut(own, self.severing.mark(own))
        _log.warning(
            "revoked",
            certificates=sorted(digests),
            reason=reason,
            replaced=replaced,
            withheld=withheld,
            enforced_ms=round(enforced_ms, 1),
            pending=pending,
            severed=severed.connections,
            unsevered=severed.failed,
        )
        return Revoked(
            certificates=tuple(found),
            replaced=tuple(replaced),
            withheld=tuple(withheld),
            enforced_ms=enforced_ms,
            pending=tuple(pending),
            recorded=recorded and synced,
            severed=severed.connections,
            unsevered=severed.failed,
        )

    async def end_tokens(self, identity: str, *, reason: str = "") -> bool:
        """End the JWT-SVIDs that `identity` has by now; return whether that is on the disk."""
        recorded = self.identities.note(_tokens_ended({identity}, reason, self.clock.now()))
        return recorded and await self._synced()

    def keep_withheld(self) -> None:
        """Revoke what a withheld service was just given; a new start gives everyone something."""
        register, now = self.identities.register, self.clock.now()
        for name, why in register.withheld.items():
            held = self.certificates.held(name)
            if held is None or held.sha256 in register.revoked:
                continue
            issued = register.issued[held.sha256]
            self.identities.note(self._records([issued], [], why.reason, now))

    async def reissue(self, service: str) -> None:
        """Give `service` a fresh certificate, also where it was withheld.

        A process that is withheld may be named too, as the register calls it: it can ask again.

        Raises:
            InputError: `identity.unknown_service`.
            MeshwardenError: where nothing can be issued.
        """
        if service.startswith(WORKLOAD_HOLDER) and service in self.identities.register.withheld:
            self._restore(service)
            self.show_workloads()
            return
        if service not in self.sidecars():
            raise InputError(
                "identity.unknown_service",
                f"no service is called {service!r}",
                where="request",
                hint=f"known: {', '.join(self.sidecars())}",
            )
        if service in self.identities.register.withheld:
            self._restore(service)
        self._hand_out(service)
        await self.enforcer.confirmed({service: {(SECRETS, SVID)}})
        await self.enforcer.confirmed(self.enforcer.push())

    def presents(self, service: str) -> None:
        """Take note of which certificate the sidecar of `service` has confirmed."""
        held = self.certificates.held(service)
        if held is None or self.enforcer.server.awaits(service, {(SECRETS, SVID)}):
            return
        live = self.identities.register.held_by(service, now=self.clock.now())
        self.superseded.presents(service, held.sha256, known=(one.sha256 for one in live))

    def _restore(self, holder: str) -> None:
        record = Record(time=self.clock.now(), kind=Kind.RESTORED, instance=holder)
        self.identities.note([record])

    async def _sever(self, own: list[str], digests: set[str]) -> Severed:
        """Cut what is open under these certificates, except for what ends by itself meanwhile.

        Args:
            own: the services that presented one of them until now.
            digests: the certificates.
        """
        marked = dict(self.superseded.begun(digests))
        for name, connections in self.severing.mark(own).items():
            marked[name] = connections - self.superseded.spared(name, digests)
        await asyncio.sleep(FINISH_S if marked else 0)
        return await self.severing.cut(sorted({*own, *marked}), marked)

    def _replace(self, services: Iterable[str]) -> list[str]:
        """Give services a fresh certificate; return those for which there was one."""
        replaced: list[str] = []
        for name in services:
            try:
                self._hand_out(name)
            except MeshwardenError as error:
                _log.error("not_replaced", service=name, error=str(error))
                self.certificates.expedite(name)
                continue
            replaced.append(name)
        return replaced

    def _hand_out(self, service: str) -> None:
        svid = self.certificates.replace(service)
        secret = svid_secret(svid.certificate_chain, svid.private_key.reveal())
        self.enforcer.server.update(service, SECRETS, SVID, secret)

    def _records(
        self, found: Iterable[Record], withheld: Iterable[str], reason: str, now: datetime
    ) -> list[Record]:
        revoked = [
            Record(
                time=now,
                kind=Kind.REVOKED,
                identity=record.identity,
                instance=record.instance,
                serial=record.serial,
                sha256=record.sha256,
                issuer=record.issuer,
                not_after=record.not_after,
                reason=reason,
            )
            for record in found
        ]
        return revoked + [
            Record(time=now, kind=Kind.WITHHELD, instance=name, reason=reason) for name in withheld
        ]

    async def _synced(self) -> bool:
        try:
            await asyncio.to_thread(self.identities.store.sync)
        except MeshwardenError as error:
            _log.error("revocation_not_synced", error=str(error))
            return False
        return True


def _tokens_ended(identities: Iterable[str], reason: str, now: datetime) -> list[Record]:
    return [
        Record(time=now, kind=Kind.TOKENS_ENDED, identity=identity, reason=reason)
        for identity in identities
    ]


def _workloads(found: Iterable[Record]) -> list[str]:
    """Return the processes that got one of these from the Workload API."""
    return sorted({one.instance for one in found if one.instance.startswith(WORKLOAD_HOLDER)})
