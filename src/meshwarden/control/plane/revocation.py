"""Revokes single certificates, and waits until every sidecar has confirmed it.

Steps, in the order of `Revoker.revoke`:

1. Where a service's own certificate is revoked and it shall go on, its sidecar gets a fresh one and
   leaves its pooled connections, so that none of its own calls is refused by what follows.
2. The revocation is appended to the register: from here on a killed control plane knows it again.
3. Sidecars are told: containment and endpoints first, which cut off open connections and refuse
   every request; then revocation lists, which refuse new handshakes.
4. The register is synced to the disk, and the sidecars' confirmations are awaited, both bounded: a
   sidecar that is not connected gets it when it comes back, before anything else.
5. Beside that, in an isolated mesh, what a service's own revoked certificate still carries is cut
   in its network (`severing`).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from meshwarden.adapters.envoy.ads import ENDPOINTS, FILTERS, SECRETS, DiscoveryServer
from meshwarden.adapters.envoy.clusters import build_endpoints
from meshwarden.adapters.envoy.containment import CONTAINMENT, Containment, containment_resource
from meshwarden.adapters.envoy.model import Sidecar
from meshwarden.adapters.envoy.snapshot import build_trust
from meshwarden.adapters.envoy.tls import BUNDLE, SVID, bundle_secret, svid_secret
from meshwarden.control.plane.certificates import Certificates
from meshwarden.control.plane.identities import Identities
from meshwarden.control.plane.severing import FINISH_S, Severed, Severing
from meshwarden.identity import Kind, Record, issuer_name, parse_certificates
from meshwarden.identity.model import fingerprint_of
from meshwarden.identity.registration import WORKLOAD_HOLDER
from meshwarden.identity.verify import verify_leaf
from meshwarden.kernel import Clock, InputError, MeshwardenError, VerificationError

REPLACING_S: Final = 0.3
"""How long a revocation waits for the sidecar that gets a fresh certificate. Longer leaves the
revoked one in force; shorter refuses calls of the service on its old connections."""

LISTS_AFTER_S: Final = 0.2
"""How long lists wait for containment to be confirmed everywhere. Zero sends both at once: with
hundreds of sidecars, the last would have containment later by the time that all the lists take."""

CONFIRMING_S: Final = 2.0
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_log = structlog.get_logger()
_Resource = tuple[str, str]


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
        server: where the sidecars are told.
        identities: register and lists.
        certificates: what the sidecars hold.
        sidecars: what each sidecar is to do now.
        clock: the time of day.
        severing: cuts connections in the network.
        show_workloads: shows holders of the Workload API what they may have now.
    """

    server: DiscoveryServer
    identities: Identities
    certificates: Certificates
    sidecars: Callable[[], Mapping[str, Sidecar]]
    clock: Clock
    severing: Severing
    show_workloads: Callable[[], None] = lambda: None
    _contained: Containment | None = field(init=False, default=None)
    _trusted: tuple[str, str] | None = field(init=False, default=None)

    async def revoke(self, target: str, *, reason: str = "", replace: bool = True) -> Revoked:
        """Revoke what `target` names; return once it is enforced, or the wait is over.

        Args:
            target: a service (all its live certificates), a SPIFFE ID (all that name it), a SHA-256
                or serial number in hexadecimal, or the certificate itself as PEM.
            reason: kept in the record.
            replace: give services and processes whose own certificate is revoked a fresh one.

        Raises:
            InputError: `identity.unknown_certificate` where nothing live is named.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        now = self.clock.now()
        found = self.find(target, now=now)
        digests = {record.sha256 for record in found}
        own = sorted(
            name
            for name in self.sidecars()
            if (held := self.certificates.held(name)) is not None and held.sha256 in digests
        )
        replaced = await self._replace(own, found) if replace else []
        withheld = [] if replace else own + _workloads(found)
        recorded = self.identities.note(self._records(found, withheld, reason, now))
        self.show_workloads()
        cutting = asyncio.create_task(self._sever(own))
        synced, pending = await asyncio.gather(self._synced(), self._enforced())
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
        await self._confirmed({service: {(SECRETS, SVID)}})
        await self._confirmed(self.push())

    def _restore(self, holder: str) -> None:
        record = Record(time=self.clock.now(), kind=Kind.RESTORED, instance=holder)
        self.identities.note([record])

    def find(self, target: str, *, now: datetime) -> list[Record]:
        """Return the certificates that `target` names, as for `revoke`."""
        register = self.identities.register
        if _BEGIN in target:
            return [self._presented(target.encode())]
        if target in self.sidecars():
            found = register.held_by(target, now=now)
        else:
            one = register.find(target)
            found = [one] if one else []
            found = found or [r for r in register.live(now=now) if r.identity == target]
        if not found:
            raise InputError(
                "identity.unknown_certificate",
                f"nothing that is still valid was issued under {target[:128]!r}",
                where="request",
                hint="name a service, a SPIFFE ID, a SHA-256 or a serial number of `meshwarden"
                " identity list`, or give the certificate's PEM file",
            )
        return found

    def look(self) -> None:
        """Tell the sidecars what has changed by itself: lists that are due, what has ended."""
        identities = self.identities
        trusted = identities.trust.bundle.pem, identities.crls
        if (self._contained, self._trusted) != (identities.containment(), trusted):
            self.push()

    def push(self) -> dict[str, set[_Resource]]:
        """Tell every sidecar what is revoked now; return what each has been told.

        What is the same for all is built once, and endpoints only where they concern what changed
        since the last time.
        """
        told = self._push_containment()
        for name, lists in self._push_trust().items():
            told[name] |= lists
        return told

    async def enforce_containment(
        self, also: Mapping[str, set[_Resource]] | None = None, *, but: str | None = None
    ) -> list[str]:
        """Tell every sidecar what is contained; return those that have not confirmed.

        `also` is what they have been told already and have to confirm with it; `but` is one that
        nobody waits for.
        """
        told = self._push_containment()
        for name, resources in (also or {}).items():
            told[name] |= resources
        if but is not None:
            told.pop(but, None)
        return await self._confirmed(told)

    async def _enforced(self) -> list[str]:
        """Tell every sidecar, and return those that have not confirmed all of it.

        Containment goes first and alone: it refuses whatever a revoked certificate asks for, over
        connections that it opens now as well. Lists are larger, and follow when it is in force.
        """
        told = self._push_containment()
        await self._confirmed(told, LISTS_AFTER_S)
        for name, lists in self._push_trust().items():
            told[name] |= lists
        return await self._confirmed(told)

    async def _sever(self, services: list[str]) -> Severed:
        """Cut what is open now, except for what ends by itself meanwhile."""
        marked = self.severing.mark(services)
        await asyncio.sleep(FINISH_S if marked else 0)
        return await self.severing.cut(services, marked)

    def _push_containment(self) -> dict[str, set[_Resource]]:
        before, containment = self._contained, self.identities.containment()
        self._contained = containment
        sidecars = self.sidecars()
        listening = [name for name, sidecar in sidecars.items() if sidecar.inbound]
        self.server.update_all(listening, FILTERS, CONTAINMENT, containment_resource(containment))
        told: dict[str, set[_Resource]] = {name: set() for name in sidecars}
        for name in listening:
            told[name].add((FILTERS, CONTAINMENT))
        for name, sidecar in sidecars.items():
            if not _concerns(sidecar, before, containment):
                continue
            for cluster, assignment in build_endpoints(sidecar, containment).items():
                self.server.update(name, ENDPOINTS, cluster, assignment)
                told[name].add((ENDPOINTS, cluster))
        return told

    def _push_trust(self) -> dict[str, set[_Resource]]:
        self._trusted = roots, crls = self.identities.trust.bundle.pem, self.identities.crls
        sidecars = self.sidecars()
        told: dict[str, set[_Resource]] = {name: set() for name in sidecars}
        verifying: list[str] = []
        for name, sidecar in sidecars.items():
            for secret in build_trust(sidecar, roots, crls):
                told[name].add((SECRETS, secret.name))
                if secret.name == BUNDLE:
                    verifying.append(name)
                else:
                    self.server.update(name, SECRETS, secret.name, secret)
        self.server.update_all(verifying, SECRETS, BUNDLE, bundle_secret(roots, crls))
        return told

    async def _replace(self, services: Iterable[str], found: Iterable[Record]) -> list[str]:
        """Give services a fresh certificate and have them leave their pooled connections."""
        replaced: list[str] = []
        for name in services:
            try:
                self._hand_out(name)
            except MeshwardenError as error:
                _log.error("not_replaced", service=name, error=str(error))
                self.certificates.expedite(name)
                continue
            replaced.append(name)
        await self._confirmed({name: {(SECRETS, SVID)} for name in replaced}, REPLACING_S / 2)
        containment = self.identities.containment()
        revoked = {record.sha256: record.identity for record in found}
        soon = Containment(
            certificates={**containment.certificates, **revoked}, withheld=containment.withheld
        )
        told: dict[str, set[_Resource]] = {name: set() for name in replaced}
        for name in replaced:
            sidecar = self.sidecars()[name]
            endpoints = build_endpoints(sidecar, soon)
            for cluster in {callee.cluster for callee in sidecar.callees}:
                self.server.update(name, ENDPOINTS, cluster, endpoints[cluster])
                told[name].add((ENDPOINTS, cluster))
        await self._confirmed(told, REPLACING_S / 2)
        return replaced

    def _hand_out(self, service: str) -> None:
        svid = self.certificates.replace(service)
        secret = svid_secret(svid.certificate_chain, svid.private_key.reveal())
        self.server.update(service, SECRETS, SVID, secret)

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

    async def _confirmed(
        self, told: Mapping[str, set[_Resource]], within_s: float = CONFIRMING_S
    ) -> list[str]:
        """Wait for the sidecars that are connected; return those that have not confirmed."""
        waiting = {
            asyncio.create_task(self.server.answered(name, resources)): name
            for name, resources in told.items()
            if self.server.connected(name)
        }
        if not waiting:
            return sorted(told)
        _, late = await asyncio.wait(waiting, timeout=within_s)
        for task in late:
            task.cancel()
        absent = {name for name in told if name not in waiting.values()}
        return sorted(absent | {waiting[task] for task in late})

    async def _synced(self) -> bool:
        try:
            await asyncio.to_thread(self.identities.store.sync)
        except MeshwardenError as error:
            _log.error("revocation_not_synced", error=str(error))
            return False
        return True

    def _presented(self, unverified: bytes) -> Record:
        """Return the record of a certificate that is presented, once it is one of ours."""
        certificate = parse_certificates(unverified, where="certificate")[0]
        for authority in self.identities.trust.authorities:
            if _signed(certificate, authority.issuer):
                identity = verify_leaf(certificate)
                return Record(
                    time=self.clock.now(),
                    kind=Kind.ISSUED,
                    identity=str(identity),
                    serial=certificate.serial_number,
                    sha256=fingerprint_of(certificate),
                    issuer=issuer_name(authority),
                    not_after=certificate.not_valid_after_utc,
                )
        raise VerificationError(
            "identity.untrusted",
            "none of this mesh's authorities signed that certificate: it is refused anyway",
        )


def _concerns(sidecar: Sidecar, before: Containment | None, now: Containment) -> bool:
    """Return whether the endpoints of `sidecar` differ between the two."""
    if before is None:
        return True
    changed = {
        identity
        for sha256, identity in {**before.certificates, **now.certificates}.items()
        if (sha256 in before.certificates) != (sha256 in now.certificates)
    }
    if changed and (sidecar.tcp or str(sidecar.identity) in changed):
        return True
    moved = before.withheld ^ now.withheld
    return any(
        callee.service in moved or str(callee.identity) in changed for callee in sidecar.callees
    )


def _workloads(found: Iterable[Record]) -> list[str]:
    """Return the processes that got one of these from the Workload API."""
    return sorted({one.instance for one in found if one.instance.startswith(WORKLOAD_HOLDER)})


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
