"""Weighs requests against what is kept of their subjects, and keeps that up to date.

Histories in use are in memory, bounded; what changed goes to the database every few seconds, all at
once: a crash forgets that much learning and no decision. A request teaches only once its token was
issued. The population is counted by each replica for itself.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.histories import (
    erase_history,
    forget_histories,
    load_history,
    store_histories,
)
from meshwarden.kernel import DependencyError
from meshwarden.tokens import ExchangeRequest, Subject
from meshwarden.tokens.risk import (
    Assessment,
    History,
    Located,
    Namer,
    Observation,
    Population,
    RiskSettings,
    assess,
    learn,
    observe_request,
    parse_history,
    render_history,
    values_of,
)
from meshwarden.tokens.risk.features import address_of

MAX_HELD: Final = 50_000
AT_ONCE: Final = 10
Locate = Callable[[str], Located]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """An assessment, and what it takes to learn from the request once it is allowed."""

    assessment: Assessment
    subject: str
    seen: Observation
    names: dict[str, int]
    payee: int | None


@dataclass(kw_only=True)
class RiskKeeper:
    """The risk of requests of one trust domain.

    Attributes:
        database: where histories are kept.
        namer: names what is kept.
        locate: what a database says about an address.
    """

    database: Database
    namer: Namer
    locate: Locate = lambda _address: Located()
    population: Population = field(default_factory=Population)
    _held: OrderedDict[str, History] = field(default_factory=OrderedDict)
    _changed: set[str] = field(default_factory=set)

    async def weigh(
        self,
        request: ExchangeRequest,
        subject: Subject,
        settings: RiskSettings,
        *,
        now: datetime,
        suspicion: float = 0.0,
    ) -> Weighed:
        """Return the risk of a request; nothing is learned yet."""
        address = address_of(request.context)
        seen = observe_request(
            request.context,
            request.details,
            settings,
            session=subject.session,
            proven_at=subject.proven_at,
            now=now,
            located=self.locate(address) if address else Located(),
            suspicion=suspicion,
        )
        named = self.namer.subject(subject.subject)
        history = await self._history(named)
        names = values_of(seen, self.namer)
        payee = None if seen.payee is None else self.namer.name("payee", seen.payee)
        found = assess(seen, names, history, self.population, settings, payee=payee)
        return Weighed(assessment=found, subject=named, seen=seen, names=names, payee=payee)

    def learn(self, weighed: Weighed) -> None:
        """Take an allowed request into its subject's history and the population."""
        history = self._held.get(weighed.subject)
        if history is None:
            return  # erased meanwhile
        seen = weighed.seen
        key = self.namer.name("seen", f"{seen.session}|{seen.device}|{seen.network}")
        if learn(history, seen, weighed.names, weighed.payee, key):
            self.population.observe(weighed.names)
        self._changed.add(weighed.subject)

    async def flush(self) -> None:
        """Keep what changed; DependencyError leaves it for the next time."""
        changed, self._changed = self._changed, set()
        rows: dict[str, tuple[int, bytes]] = {}
        for number, name in enumerate(changed):
            history = self._held.get(name)
            if history is not None:
                rows[name] = history.updated, render_history(history)
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)  # requests come first
        if not rows:
            return
        try:
            await asyncio.to_thread(store_histories, self.database, rows)
        except DependencyError:
            self._changed |= changed
            raise

    async def erase(self, subject: str) -> bool:
        """Forget a subject (GDPR, article 17); return whether anything was known."""
        named = self.namer.subject(subject)
        self._changed.discard(named)
        held = self._held.pop(named, None) is not None
        return await asyncio.to_thread(erase_history, self.database, named) or held

    async def expire(self, settings: RiskSettings, *, now: datetime) -> None:
        """Forget subjects that did not come back for the days that the policy says."""
        before = int(now.timestamp()) - settings.history_days * 86400
        for name in [name for name, one in self._held.items() if 0 < one.updated < before]:
            del self._held[name]
        await asyncio.to_thread(forget_histories, self.database, before)

    async def _history(self, named: str) -> History:
        held = self._held.get(named)
        if held is None:
            raw = await asyncio.to_thread(load_history, self.database, named)
            held = self._held.get(named)  # another request may have been faster
            if held is None:
                held = self._held[named] = parse_history(raw) if raw else History()
                await self._make_room()
        self._held.move_to_end(named)
        return held

    async def _make_room(self) -> None:
        if len(self._held) <= MAX_HELD:
            return
        await self.flush()
        while len(self._held) > MAX_HELD:
            self._held.popitem(last=False)
