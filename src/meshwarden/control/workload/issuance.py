"""What the Workload API hands out: each attested process its own SVIDs, renewed while it lives.

One SVID a process and identity: asking again gives the same one until it is renewed, so that a
process cannot make the authority work by asking, and each SVID names one instance, which can be
revoked alone. Where the authority cannot issue, a process keeps what it has until that expires.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from meshwarden.identity import (
    Authority,
    Bundle,
    JwtKey,
    ProcessFacts,
    Registration,
    Svid,
    is_ended,
    issue_jwt_svid,
    issue_svid,
    match_registrations,
    renewal_time,
    signing_key,
)
from meshwarden.kernel import Chance, Clock, DependencyError, MeshwardenError, SpiffeId

MAX_INSTANCES: Final = 8192
"""Processes whose SVIDs are kept; beyond, of those that are not connected the ones that asked
longest ago get new ones next time. What connects is bounded by the server."""

RETRY: Final = timedelta(seconds=5)
SET_BACK: Final = timedelta(seconds=30)
"""A clock that goes back by more than this makes SVIDs that lie in the future for others."""

_log = structlog.get_logger()

Instance = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Something that was issued to a process, for the record.

    Attributes:
        svid: what.
        facts: to whom.
        renewed: whether it replaces an earlier one of the same process.
    """

    svid: Svid
    facts: ProcessFacts
    renewed: bool


@dataclass(slots=True)
class _Held:
    """The SVIDs of one process, and when each is due."""

    facts: ProcessFacts
    svids: dict[SpiffeId, Svid] = field(default_factory=dict)
    renew_at: dict[SpiffeId, datetime] = field(default_factory=dict)


@dataclass(kw_only=True)
class WorkloadIssuing:
    """Decides, issues and remembers; the port `Issuing` of the Workload API.

    Attributes:
        authority: what signs X.509-SVIDs now; asked each time, as it may be replaced.
        jwt_keys: the keys of JWT-SVIDs now.
        known: the registrations in force now.
        trusted: all bundles by trust domain, our own first.
        lists: certificate revocation lists, DER.
        issued: told each X.509-SVID, before it is handed out.
        revoked: whether the certificate with this SHA-256 is; its process gets another at once.
        withheld: whether the process that the register calls so is to get nothing more.
        ended: until when issued JWT-SVIDs of an identity count no more; None: all count.
        record_refusal: told each refusal.
        connected: whether a process is there to be given something new.
        lifetime_s: of each X.509-SVID.
    """

    clock: Clock
    chance: Chance
    authority: Callable[[], Authority]
    jwt_keys: Callable[[], tuple[JwtKey, ...]]
    known: Callable[[], Sequence[Registration]]
    trusted: Callable[[], Mapping[str, Bundle]]
    lists: Callable[[], Sequence[bytes]] = list
    issued: Callable[[Issued], None] = lambda _: None
    revoked: Callable[[str], bool] = lambda _: False
    withheld: Callable[[str], bool] = lambda _: False
    ended: Callable[[SpiffeId], datetime | None] = lambda _: None
    record_refusal: Callable[[ProcessFacts, str], None] = lambda _facts, _method: None
    connected: Callable[[Instance], bool] = lambda _: True
    lifetime_s: int
    _looked_at: datetime | None = field(init=False, default=None)
    _held: "OrderedDict[Instance, _Held]" = field(init=False, default_factory=OrderedDict)
    _due: "list[tuple[datetime, Instance, str]]" = field(init=False, default_factory=list)

    def registrations(self, facts: ProcessFacts) -> Sequence[Registration]:
        """Return the registrations that the process meets; none where it is cut off."""
        if self.withheld(facts.holder):
            return ()
        return match_registrations(facts, self.known())

    def x509_svid(self, facts: ProcessFacts, identity: SpiffeId) -> Svid:
        """Return the process's current SVID; MeshwardenError where none can be issued."""
        held = self._held.get(facts.instance)
        svid = held.svids.get(identity) if held else None
        now = self.clock.now()
        if not held or not svid or not self._is_good(svid, now):
            return self._issue(facts, identity, now)
        if now < held.renew_at[identity] + RETRY:
            return svid
        try:  # it was away when that was due
            return self._issue(facts, identity, now)
        except MeshwardenError as error:
            _log.warning("renewal_failed", identity=str(identity), error=str(error))
            return svid

    def _is_good(self, svid: Svid, now: datetime) -> bool:
        return svid.not_before <= now < svid.not_after and not self.revoked(svid.sha256)

    def jwt_svid(self, identity: SpiffeId, audience: Sequence[str]) -> str:
        """Return a fresh JWT-SVID.

        Raises:
            DependencyError: `identity.tokens_ended` where it would be among those that were ended.
        """
        now = self.clock.now()
        if is_ended(now.timestamp(), self.ended(identity)):
            raise DependencyError(
                "identity.tokens_ended", f"tokens of {identity} were just ended", retry_after_s=1
            )
        token = issue_jwt_svid(signing_key(self.jwt_keys(), now=now), identity, audience, now=now)
        _log.info("jwt_svid_issued", identity=str(identity), audience=",".join(audience)[:200])
        return token

    def tokens_end(self, identity: SpiffeId) -> datetime | None:
        """Return until when issued JWT-SVIDs of `identity` count no more; None: all count."""
        return self.ended(identity)

    def bundles(self) -> Mapping[str, Bundle]:
        """Return all bundles by trust domain, our own first."""
        return self.trusted()

    def revocation_lists(self) -> Sequence[bytes]:
        """Return the certificate revocation lists, DER."""
        return self.lists()

    def refused(self, facts: ProcessFacts, method: str) -> None:
        """Record that a process was refused."""
        self.record_refusal(facts, method)

    def now(self) -> datetime:
        """Return the time of day."""
        return self.clock.now()

    def renew_due(self) -> set[Instance]:
        """Renew what is due now; return the processes that have something new."""
        now = self.clock.now()
        if self._looked_at is not None and now < self._looked_at - SET_BACK:
            self.renew_all()
        self._looked_at = now
        renewed: set[Instance] = set()
        while self._due and self._due[0][0] <= now:
            _, instance, name = heapq.heappop(self._due)
            held, identity = self._held.get(instance), SpiffeId.parse(name)
            if held is None or held.renew_at.get(identity, now + RETRY) > now:
                continue
            if not self.connected(instance) or not self._may_have(held.facts, identity):
                self.forget(instance)  # it asks again, if it is still there and still registered
                continue
            try:
                self._issue(held.facts, identity, now)
                renewed.add(instance)
            except MeshwardenError as error:
                _log.warning("renewal_failed", identity=name, error=str(error))
                self._schedule(held, identity, now + RETRY)
        return renewed

    def renew_all(self, chosen: Callable[[SpiffeId], bool] = lambda _: True) -> set[Instance]:
        """Have every process's SVIDs of the chosen identities renewed at the next look."""
        now = self.clock.now()
        found: set[Instance] = set()
        for instance, held in self._held.items():
            for identity in filter(chosen, list(held.svids)):
                self._schedule(held, identity, now)
                found.add(instance)
        return found

    def forget(self, instance: Instance) -> None:
        """Drop what a process held: it has ended."""
        self._held.pop(instance, None)

    def _may_have(self, facts: ProcessFacts, identity: SpiffeId) -> bool:
        return any(one.identity == identity for one in self.registrations(facts))

    def _issue(self, facts: ProcessFacts, identity: SpiffeId, now: datetime) -> Svid:
        svid = issue_svid(
            self.authority(),
            identity,
            now=now,
            serial=self.chance.serial(),
            lifetime_s=self.lifetime_s,
        )
        held = self._held.setdefault(facts.instance, _Held(facts))
        self._held.move_to_end(facts.instance)
        renewed = identity in held.svids
        self.issued(Issued(svid=svid, facts=facts, renewed=renewed))
        held.svids[identity] = svid
        self._schedule(held, identity, renewal_time(svid, uniform=self.chance.uniform()))
        if len(self._held) > MAX_INSTANCES:
            self._forget_one(facts.instance)
        return svid

    def _forget_one(self, latest: Instance) -> None:
        away = (one for one in self._held if one != latest and not self.connected(one))
        if (oldest := next(away, None)) is not None:
            del self._held[oldest]

    def _schedule(self, held: _Held, identity: SpiffeId, moment: datetime) -> None:
        held.renew_at[identity] = moment
        heapq.heappush(self._due, (moment, held.facts.instance, str(identity)))
