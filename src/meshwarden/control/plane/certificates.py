"""Keeps an SVID for every sidecar: issued at the start, renewed at half-life with jitter.

The clock may jump: what is due is judged by the time of day at each look, and the looks are never
further apart than `LOOK_S`. An SVID from the future is replaced: the clock was set back, and it may
not be valid yet, and would be for too long. Where the authority cannot issue (its clock, its end),
the sidecars keep what they have, the failure is told once, and the next look tries again.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """

    authority: Authority
    clock: Clock
    chance: Chance
    lifetime_s: int
    failed: Callable[[MeshwardenError], None] = lambda _: None
    _held: dict[str, _Held] = field(init=False, default_factory=dict)
    _failing: bool = field(init=False, default=False)

    @property
    def bundle_pem(self) -> str:
        """The trust domain's roots."""
        return self.authority.bundle.pem

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
            if now >= held.renew_at or now < held.svid.issued_at
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
            svid = held.svid
            _log.info(
                "svid_issued",
                service=name,
                identity=str(svid.identity),
                sha256=svid.sha256,
                not_after=svid.not_after.isoformat(),
            )
        self._held.update(issued)
