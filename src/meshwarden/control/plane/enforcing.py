"""Tells every sidecar what is cut off and whom to trust, and waits until it has confirmed.

A sidecar that is not connected is told when it comes back, before anything else.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshwarden.adapters.envoy.ads import ENDPOINTS, FILTERS, SECRETS, DiscoveryServer
from meshwarden.adapters.envoy.clusters import build_endpoints
from meshwarden.adapters.envoy.containment import CONTAINMENT, Containment, containment_resource
from meshwarden.adapters.envoy.listeners import build_partner_filters
from meshwarden.adapters.envoy.model import Sidecar
from meshwarden.adapters.envoy.snapshot import build_trust
from meshwarden.adapters.envoy.tls import BUNDLE, SVID, bundle_secret
from meshwarden.control.plane.identities import Identities
from meshwarden.identity import Record

REPLACING_S: Final = 0.5
"""How long a revocation waits for the sidecar that gets a fresh certificate. Longer leaves the
revoked one in force; shorter refuses calls of the service on its old connections."""

WORKERS_S: Final = 0.02
"""How long a sidecar's workers have to leave their pools once it has confirmed that they are to.
Zero has a call refused now and then that was sent in between."""

LISTS_AFTER_S: Final = 0.2
"""How long lists wait for containment to be confirmed everywhere. Zero sends both at once: with
hundreds of sidecars, the last would have containment later by the time that all the lists take."""

CONFIRMING_S: Final = 2.0
Told = dict[str, set[tuple[str, str]]]
"""What each sidecar was told, by type and name."""


@dataclass(kw_only=True)
class Enforcer:
    """Keeps the sidecars of a mesh on what is revoked now.

    Attributes:
        server: where the sidecars are told.
        identities: what is revoked, and whom to trust.
        sidecars: what each sidecar is to do now.
    """

    server: DiscoveryServer
    identities: Identities
    sidecars: Callable[[], Mapping[str, Sidecar]]
    _contained: Containment | None = field(init=False, default=None)
    _trusted: tuple[str, str] | None = field(init=False, default=None)

    def look(self) -> None:
        """Tell the sidecars what has changed by itself: lists that are due, what has ended."""
        identities = self.identities
        trusted = identities.trust.bundle.pem, identities.crls
        if (self._contained, self._trusted) != (identities.containment(), trusted):
            self.push()

    def push(self) -> Told:
        """Tell every sidecar what is revoked now; return what each has been told.

        What is the same for all is built once, and endpoints only where they concern what changed
        since the last time.
        """
        told = self._push_containment()
        for name, lists in self._push_trust().items():
            told[name] |= lists
        return told

    async def enforce_containment(
        self, also: Told | None = None, *, but: str | None = None, absent: bool = False
    ) -> list[str]:
        """Tell every sidecar what is contained; return those that have not confirmed.

        `also` is what they have been told already and have to confirm with it; `but` is one that
        nobody waits for; for `absent` see `confirmed`.
        """
        told = self._push_containment()
        for name, resources in (also or {}).items():
            told[name] |= resources
        if but is not None:
            told.pop(but, None)
        return await self.confirmed(told, absent=absent)

    async def enforce(self) -> list[str]:
        """Tell every sidecar, and return those that have not confirmed all of it.

        Containment goes first and alone: it refuses whatever a revoked certificate asks for, over
        connections that it opens now as well. Lists are larger, and follow when it is in force.
        """
        told = self._push_containment()
        await self.confirmed(told, LISTS_AFTER_S)
        for name, lists in self._push_trust().items():
            told[name] |= lists
        return await self.confirmed(told)

    async def leave_pools(
        self, replaced: Iterable[str], others: Iterable[str], found: Iterable[Record]
    ) -> None:
        """Have services leave connections that may show one of these; `replaced` with the new."""
        await self.confirmed({name: {(SECRETS, SVID)} for name in replaced}, REPLACING_S / 2)
        containment = self.identities.containment()
        revoked = {record.sha256: record.identity for record in found}
        soon = Containment(
            certificates={**containment.certificates, **revoked}, withheld=containment.withheld
        )
        told: Told = {name: set() for name in (*replaced, *others)}
        for name, endings in told.items():
            sidecar = self.sidecars()[name]
            endpoints = build_endpoints(sidecar, soon)
            for cluster in {callee.cluster for callee in sidecar.callees}:
                self.server.update(name, ENDPOINTS, cluster, endpoints[cluster])
                endings.add((ENDPOINTS, cluster))
        await self.confirmed(told, REPLACING_S / 2)
        await asyncio.sleep(WORKERS_S if told else 0)

    async def confirmed(
        self, told: Told, within_s: float = CONFIRMING_S, *, absent: bool = False
    ) -> list[str]:
        """Wait for the sidecars that are connected; return those that have not confirmed.

        `absent`: wait for the others as well, which may just come back.
        """
        waiting = {
            asyncio.create_task(self.server.answered(name, resources)): name
            for name, resources in told.items()
            if absent or self.server.connected(name)
        }
        if not waiting:
            return sorted(told)
        _, late = await asyncio.wait(waiting, timeout=within_s)
        for task in late:
            task.cancel()
        not_asked = {name for name in told if name not in waiting.values()}
        return sorted(not_asked | {waiting[task] for task in late})

    def _push_containment(self) -> Told:
        before, containment = self._contained, self.identities.containment()
        self._contained = containment
        sidecars = self.sidecars()
        listening = [name for name, sidecar in sidecars.items() if sidecar.inbound]
        self.server.update_all(listening, FILTERS, CONTAINMENT, containment_resource(containment))
        told: Told = {name: set() for name in sidecars}
        for name in listening:
            told[name].add((FILTERS, CONTAINMENT))
        for name, sidecar in sidecars.items():
            for resource, config in build_partner_filters(sidecar, containment).items():
                self.server.update(name, FILTERS, resource, config)
                told[name].add((FILTERS, resource))
            if not _concerns(sidecar, before, containment):
                continue
            for cluster, assignment in build_endpoints(sidecar, containment).items():
                self.server.update(name, ENDPOINTS, cluster, assignment)
                told[name].add((ENDPOINTS, cluster))
        return told

    def _push_trust(self) -> Told:
        self._trusted = roots, crls = self.identities.trust.bundle.pem, self.identities.crls
        sidecars = self.sidecars()
        told: Told = {name: set() for name in sidecars}
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
