"""Findings and people's wishes in, incidents followed; one controller at a time.

Rules that hold here:

- A controller that was killed at any line is followed by one that reads the records and goes on.
- One acts at a time (a lease in the store), and of two that write the same entry the store refuses
  one.
- Findings without a suspect whose identity was proven open nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import structlog

from meshwarden.control.response.action import Action
from meshwarden.control.response.flood import Flood
from meshwarden.control.response.following import Following, Recovered
from meshwarden.control.response.records import Records
from meshwarden.kernel import DependencyError, Finding, InputError
from meshwarden.response import (
    EntryKind,
    Foreseen,
    Incident,
    IncidentState,
    Playbook,
    StepState,
    Suspect,
    choose,
    incident_about,
    plan_data,
    render_finding,
    simulate,
)

LEASE_S: Final = 10
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Controller:
    """The one who acts.

    Attributes:
        holder: names this process in the lease.
        records: the incidents.
        actions: by name; what is missing fails with a reason.
        playbooks: in order of preference.
        suspect_of: whom a finding is about; None where nobody's proven identity is.
        new_id: makes the id of an incident: sortable, unique.
        by_hand: more playbooks, which are followed only where a person says so.
        recovered: shows that a suspect's service is well again; raises where it is not.
    """

    holder: str
    records: Records
    actions: Mapping[str, Action]
    playbooks: tuple[Playbook, ...]
    suspect_of: Callable[[Finding], Suspect | None]
    new_id: Callable[[], str]
    recovered: Recovered | None = None
    by_hand: tuple[Playbook, ...] = ()
    _flood: Flood = field(default_factory=Flood)
    _leading: bool = False
    _followed: dict[str, tuple[Following, asyncio.Task[None]]] = field(default_factory=dict)

    async def run(self) -> None:
        """Act until cancelled: wait for the lease, act while it holds, begin again."""
        try:
            while True:
                await self._lease(wanted=True)
                self._leading = True
                self.records.load()
                for incident_id in list(self.records.incidents):
                    self._follow(incident_id)
                await self._lease(wanted=False)
                _log.warning("lease_lost", holder=self.holder)
                await self._rest()
        finally:
            await self._rest()
            await asyncio.to_thread(self.records.store.give_lease, self.holder)

    async def take(self, finding: Finding, *, first_call: int | None = None) -> Incident | None:
        """Put `finding` on record; return its incident, None where nobody is suspected.

        Args:
            finding: what was found.
            first_call: time of the first call behind it.
        """
        suspect = self.suspect_of(finding)
        if suspect is None:
            _log.info("finding_without_suspect", code=finding.code, subject=finding.subject)
            return None
        async with self._turn:
            incident = await self._about(suspect)
            if (count := self._flood.due(incident)) == 0:
                return incident
            data = {"finding": render_finding(finding), "first_call": first_call, "count": count}
            incident = await self.records.write(incident.id, EntryKind.FOUND, data=data)
            await self._choose(incident)
        return self._follow(incident.id)

    async def contain(self, suspect: Suspect, playbook: str, *, who: str) -> Incident:
        """Follow `playbook` because a person says so; that is one approval of each of its steps.

        Raises:
            InputError: `incident.unknown_playbook`.
        """
        known = (*self.playbooks, *self.by_hand)
        chosen = next((one for one in known if one.name == playbook), None)
        if chosen is None:
            raise InputError(
                "incident.unknown_playbook",
                f"no playbook is called {playbook[:60]!r}",
                where="request",
                hint=f"known: {', '.join(sorted({one.name for one in known}))}",
            )
        async with self._turn:
            incident = await self._about(suspect)
            planned = await self.records.write(
                incident.id, EntryKind.PLANNED, who, plan_data(chosen)
            )
            for step in planned.steps:
                if step.state in {StepState.PLANNED, StepState.WAITING}:
                    data = {"action": step.action}
                    await self.records.write(incident.id, EntryKind.APPROVED, who, data)
        return self._follow(incident.id)

    async def approve(self, incident_id: str, action: str, *, who: str) -> Incident:
        """Put on record that `who` approves a step that waits."""
        return await self._by_hand(incident_id, EntryKind.APPROVED, who, {"action": action})

    async def release(self, incident_id: str, *, who: str, reason: str) -> Incident:
        """Let the suspect back in: undo, in reverse, what can be undone."""
        return await self._by_hand(incident_id, EntryKind.RELEASING, who, {"reason": reason})

    async def close(self, incident_id: str, *, who: str, verdict: str) -> Incident:
        """End an incident: `closed` or `false-alarm`."""
        return await self._by_hand(incident_id, EntryKind.CLOSED, who, {"verdict": verdict})

    async def note(
        self, incident_id: str, *, who: str, text: str, figures: Mapping[str, Any]
    ) -> Incident:
        """Put what `who` knows on record: how customers fared, what was found out."""
        data = {"text": text, "figures": dict(figures)}
        return await self._by_hand(incident_id, EntryKind.NOTED, who, data)

    def simulate(self, incident: Incident, playbook: Playbook) -> tuple[Foreseen, ...]:
        """Return what following `playbook` would do to `incident` now, without doing it."""
        deciding, now = self.records.deciding, self.records.now()
        others = [one for one in self.records.incidents.values() if one.id != incident.id]
        world = deciding.world(others, now=now)
        return simulate(incident, playbook, world, deciding.limits(), now=now)

    @property
    def _turn(self) -> asyncio.Lock:
        return self.records.deciding.turn

    async def _by_hand(
        self, incident_id: str, kind: EntryKind, who: str, data: Mapping[str, Any]
    ) -> Incident:
        self.records.get(incident_id)
        async with self._turn:
            await self.records.write(incident_id, kind, who, data)
        return self._follow(incident_id)

    async def _about(self, suspect: Suspect) -> Incident:
        known = incident_about(suspect, self.records.incidents.values())
        if known is not None:
            return known
        data = {"suspect": asdict(suspect)}
        return await self.records.write(self.new_id(), EntryKind.OPENED, data=data)

    async def _choose(self, incident: Incident) -> None:
        """Follow what now applies, where that is more than what is followed already."""
        if incident.state not in {IncidentState.OPEN, IncidentState.CONTAINING}:
            return
        facts = self.records.deciding.services().get(incident.suspect.service)
        chosen = choose(incident, self.playbooks, tier=facts.tier if facts else None)
        if chosen is None or chosen.name == incident.playbook:
            return
        names = [one.name for one in self.playbooks]
        if incident.playbook in names and names.index(incident.playbook) < names.index(chosen.name):
            return
        await self.records.write(incident.id, EntryKind.PLANNED, data=plan_data(chosen))

    def _follow(self, incident_id: str) -> Incident:
        if not self._leading:  # who leads finds it when reading
            return self.records.incidents[incident_id]
        following, task = self._followed.get(incident_id, (None, None))
        if following is None or task is None or task.done():
            following = Following(
                incident_id=incident_id, records=self.records, actions=self.actions
            )
            if self.recovered is not None:
                following.recovered = self.recovered
            self._followed[incident_id] = following, asyncio.create_task(following.run())
        following.wake()
        return self.records.incidents[incident_id]

    async def _lease(self, *, wanted: bool) -> None:
        """Return once having the lease is as `wanted`: got it, or lost it."""
        while await self._renewed() is not wanted:  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(LEASE_S / 5)

    async def _renewed(self) -> bool:
        take = self.records.store.take_lease
        try:
            return await asyncio.to_thread(take, self.holder, now=self.records.now(), ttl_s=LEASE_S)
        except DependencyError as error:
            _log.error("lease_unknown", error=str(error))
            return False

    async def _rest(self) -> None:
        self._leading = False
        tasks = [task for _, task in self._followed.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._followed.clear()
