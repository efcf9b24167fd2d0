"""Services in quarantine: what every other sidecar does while one of them is cut off.

Three things, over the stream that each sidecar has open, so that no connection is dropped but the
suspect's: policy filters as if no rule named the suspect (`policy.isolate`), its certificates in
`containment`, its endpoint withheld at its callers. It is given nothing new, by sidecar or Workload
API. All of it only narrows, and is kept by the caller: a control plane that starts again is told
who is in quarantine before it tells any sidecar anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from meshwarden.control.layout import Layout
from meshwarden.control.plane.enforcing import Enforcer
from meshwarden.control.plane.identities import Identities
from meshwarden.control.plane.publishing import Publisher
from meshwarden.identity.registration import WORKLOAD_HOLDER
from meshwarden.kernel import Clock, InputError


@dataclass(kw_only=True)
class Quarantine:
    """The services of one mesh that are cut off.

    Attributes:
        layout: whose users they run as.
        publisher: tells policy filters.
        enforcer: tells containment and endpoints.
        identities: which certificates there are.
        clock: the time of day.
        show_workloads: shows holders of the Workload API what they may have now.
    """

    layout: Layout
    publisher: Callable[[], Publisher]
    enforcer: Callable[[], Enforcer]
    identities: Identities
    clock: Clock
    show_workloads: Callable[[], None]
    _held: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _awaited: set[str] = field(default_factory=set)

    def services(self) -> frozenset[str]:
        """Return who is in quarantine."""
        return frozenset(self._held)

    def names(self) -> frozenset[str]:
        """Return the identities of those who are."""
        known = self.publisher().published.policy.services
        return frozenset(str(known[name].identity) for name in self._held if name in known)

    def held(self) -> Mapping[str, Mapping[str, str]]:
        """Return who is, each with certificates by SHA-256 and the identity that they name."""
        return self._held

    def withheld(self) -> frozenset[str]:
        """Return to whom nobody is sent."""
        return self.services() - self._awaited

    def withholds(self, holder: str) -> bool:
        """Return whether `holder`, as the register calls it, is to get nothing new."""
        if holder in self._held or not self.layout.isolated:
            return holder in self._held
        uids = {self.layout.service_uid(name) for name in self._held}
        return any(holder.startswith(f"{WORKLOAD_HOLDER}{uid}/") for uid in uids)

    def begin(self, services: frozenset[str]) -> None:
        """Have `services` in quarantine from the start; nobody is told yet."""
        known = self.publisher().published.policy.services
        self._held = {name: self._certificates(name) for name in services if name in known}

    def awaited(self) -> frozenset[str]:
        """Return who is just being replaced: nobody reaches it, and callers wait for the new one.

        All others that are in quarantine are withheld from their callers, who fail at once.
        """
        return frozenset(self._awaited)

    async def put(self, service: str, *, awaited: bool = False) -> list[str]:
        """Cut `service` off; return the connected peers that have not confirmed in time.

        Args:
            service: whom.
            awaited: whether a clean instance is to follow within seconds.

        Raises:
            InputError: `quarantine.unknown`.
        """
        if service not in self.publisher().published.sidecars:
            raise InputError("quarantine.unknown", f"no service is {service!r}", where="quarantine")
        self._held[service] = self._certificates(service)
        if awaited:
            self._awaited.add(service)
        return await self._tell(service)

    async def lift(self, service: str) -> list[str]:
        """Let `service` back in; what is revoked stays so. Return as `put`.

        Callers wait for it still, where it is being replaced, until `arrived`.
        """
        self._held.pop(service, None)
        return await self._tell(service)

    async def arrived(self, service: str) -> list[str]:
        """Have callers of `service` wait no longer: it serves, or does not.

        Its own sidecar has to confirm as well: what it calls passes from then on. Return who has
        not confirmed in time, connected or not.
        """
        self._awaited.discard(service)
        return await self._tell(service, itself=True)

    async def _tell(self, service: str, *, itself: bool = False) -> list[str]:
        self.show_workloads()
        told = self.publisher().isolate(service)
        if itself:
            return await self.enforcer().enforce_containment(told, absent=True)
        late = await self.enforcer().enforce_containment(told, but=service)
        connected = self.enforcer().server.connected
        return [name for name in late if connected(name)]

    def _certificates(self, service: str) -> dict[str, str]:
        identity = str(self.publisher().published.policy.services[service].identity)
        live = self.identities.register.live(now=self.clock.now())
        return {one.sha256: identity for one in live if one.identity == identity and one.sha256}
