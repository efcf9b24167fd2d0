"""Keeps an SVID for every sidecar: issued at the start, renewed at half-life with jitter.

The clock may jump: what is due is judged by the time of day at each look, and the looks are never
further apart than `LOOK_S`. An SVID from the future is replaced: the clock was set back, and it may
not be valid yet, and would be for too long. Where the authority cannot issue (its clock, its end),
the sidecars keep what they have, the failure is told once, and the next look tries again.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from meshwarden.identity import Authority, Svid, issue_svid, renewal_time
from meshwarden.kernel import Chance, Clock, MeshwardenError, SpiffeId

LOOK_S: Final = 1.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A service's SVID and when to renew it."""

    svid: Svid
    renew_at: datetime


@dataclass(kw_only=True)
class Certificates:
    """The SVIDs of a mesh's sidecars.

    Attributes:
        authority: signs them.
        lifetime_s: of each SVID; short ones are renewed more often.
        failed: told once when renewing begins to fail.
        issued: told of each SVID before it counts, and whether it renews another of the service;
            what it raises keeps the SVID back.
        withheld: whether a service is to have no new SVID.
    """

    authority: Authority
    clock: Clock
    chance: Chance
    lifetime_s: int
    failed: Callable[[MeshwardenError], None] = lambda _: None
    issued: Callable[[str, Svid, bool], None] = lambda _name, _svid, _renewed: None
    withheld: Callable[[str], bool] = lambda _: False
    _held: dict[str, _Held] = field(init=False, default_factory=dict)
    _failing: bool = field(init=False, default=False)

    def keep(self, identities: Mapping[str, SpiffeId]) -> None:
        """Hold an SVID for each service: issued where it has none, or one of another identity.

        Raises:
            MeshwardenError: as `identity.issue_svid`; what was held before is held still.
        """
        self._issue(
            {
                name: identity
                for name, identity in identities.items()
                if name not in self._held or self._held[name].svid.identity != identity
            }
        )

    def current(self, service: str) -> Svid:
        """Return the SVID that `service` should present."""
        return self._held[service].svid

    def held(self, service: str) -> Svid | None:
        """Return the SVID that `service` should present; None where it has none yet."""
        held = self._held.get(service)
        return None if held is None else held.svid

    def replace(self, service: str) -> Svid:
        """Issue a fresh SVID for `service` now; MeshwardenError as `identity.issue_svid`."""
        self._issue({service: self.current(service).identity})
        return self.current(service)

    def expedite(self, service: str) -> None:
        """Have the next look renew the SVID of `service`."""
        held = self._held[service]
        self._held[service] = replace(held, renew_at=min(held.renew_at, self.clock.now()))

    def adopt(self, authority: Authority) -> list[str]:
        """Have `authority` sign from now on; return the services that have a new SVID by it.

        Where it cannot issue at once, the next look does.
        """
        self.authority = authority
        for name in self._held:
            self.expedite(name)
        return self.renew_due()

    def renews_in_s(self, service: str) -> float:
        """Return the seconds until the SVID of `service` is renewed; 0 where that is overdue."""
        left = self._held[service].renew_at - self.clock.now()
        return max(0.0, left.total_seconds())

    def renew_due(self) -> list[str]:
        """Renew what is due now; return the services that have a new SVID."""
        now = self.clock.now()
        due = {
            name: held.svid.identity
            for name, held in self._held.items()
            if (now >= held.renew_at or now < held.svid.issued_at) and not self.withheld(name)
        }
        try:
            self._issue(due)
        except MeshwardenError as error:
            if not self._failing:
                _log.error("renewal_failed", error=str(error))
                self.failed(error)
            self._failing = True
            return []
        if self._failing:
            _log.info("renewal_recovered")
        self._failing = False
        return list(due)

    async def run(self, renewed: Callable[[str], None]) -> None:
        """Renew what is due until cancelled; `renewed` is told each service."""
        while True:
            await asyncio.sleep(LOOK_S)
            for name in self.renew_due():
                renewed(name)

    def _issue(self, identities: Mapping[str, SpiffeId]) -> None:
        """Issue all of `identities`, or none."""
        now = self.clock.now()
        issued: dict[str, _Held] = {}
        for name, identity in identities.items():
            svid = issue_svid(
                self.authority,
                identity,
                now=now,
                serial=self.chance.serial(),
                lifetime_s=self.lifetime_s,
            )
            renew_at = renewal_time(svid, uniform=self.chance.uniform())
            issued[name] = _Held(svid=svid, renew_at=renew_at)
        for name, held in issued.items():
            self.issued(name, held.svid, name in self._held)
        for name, held in issued.items():
            svid = held.svid
            _log.info(
                "svid_issued",
                service=name,
                identity=str(svid.identity),
                sha256=svid.sha256,
                not_after=svid.not_after.isoformat(),
            )
        self._held.update(issued)
