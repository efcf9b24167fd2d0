"""Follows one incident, move by move, until it has ended.

An action that fails or hangs is a FAILED step, not an exception: the plan goes on where it can.
Undoing is tried again for as long as it takes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from meshwarden.control.response.action import Action
from meshwarden.control.response.records import Records
from meshwarden.kernel import DependencyError, MeshwardenError, StateError
from meshwarden.response import (
    CATALOGUE,
    Apply,
    EntryKind,
    Incident,
    Move,
    Probe,
    Reach,
    Record,
    Recover,
    Release,
    Undo,
    Verdict,
    Wait,
    is_automatic,
    judging_for,
    next_move,
)

ACTION_S: Final = 60.0
"""How long an action may take. A snapshot of much memory takes longest."""

RETRY_S: Final = 2.0
Recovered = Callable[[Incident], Awaitable[str]]
_log = structlog.get_logger()


async def _unproven(_: Incident) -> str:
    return "serves again"


@dataclass(kw_only=True)
class Following:
    """One incident's work. `wake` whenever something was put on record from outside.

    Attributes:
        incident_id: which.
        records: where it stands.
        actions: by name.
        recovered: shows that the suspect's service is well again; raises where it is not.
    """

    incident_id: str
    records: Records
    actions: Mapping[str, Action]
    recovered: Recovered = _unproven
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Have it look again at what is to do."""
        self._woken.set()

    async def run(self) -> None:
        """Take move after move until the incident has ended."""
        while not self._incident.state.ended:
            self._woken.clear()
            try:
                move = await self._decide()
                if isinstance(move, Wait):
                    await self._wait(move.until)
                else:
                    await self._carry_out(move)
            except StateError as error:  # another controller was faster
                _log.warning("incident_moved_on", incident=self.incident_id, error=str(error))
                await asyncio.to_thread(self.records.reread, self.incident_id)
                await self._wait(self.records.now() + int(RETRY_S * 1e8))
            except MeshwardenError as error:
                _log.error("incident_stuck", incident=self.incident_id, error=str(error))
                await self._wait(self.records.now() + int(RETRY_S * 1e9))

    @property
    def _incident(self) -> Incident:
        return self.records.incidents[self.incident_id]

    async def _decide(self) -> Move:
        """Decide, and put on record what begins, before another incident decides."""
        deciding = self.records.deciding
        async with deciding.turn:
            incident, now = self._incident, self.records.now()
            others = [one for one in self.records.incidents.values() if one.id != incident.id]
            judge = judging_for(incident, deciding.world(others, now=now), deciding.limits())
            move = next_move(incident, now=now, judge=judge)
            if isinstance(move, Apply):
                data = {"action": move.action, "automatic": is_automatic(incident, move.action)}
                await self.records.write(incident.id, EntryKind.STARTED, data=data)
            return move

    async def _carry_out(self, move: Move) -> None:
        match move:
            case Record(action, verdict):
                await self._step(EntryKind.JUDGED, action, **_ruling(verdict))
            case Apply(action):
                await self._apply(action)
            case Probe(action):
                await self._probe(action)
            case Undo(action):
                await self._undo(action)
            case Release(reason):
                await self._write(EntryKind.RELEASING, {"reason": reason})
            case Recover():
                await self._recover()

    async def _apply(self, name: str) -> None:
        try:
            async with asyncio.timeout(ACTION_S):
                action = self._action(name)
                if (why := await action.check(self._incident)) is not None:
                    raise DependencyError("incident.cannot", why)
                applied = await action.apply(self._incident)
        except (MeshwardenError, TimeoutError) as error:
            await self._step(EntryKind.FAILED, name, outcome=_said(error))
            return
        undo = dict(applied.undo)
        await self._step(EntryKind.APPLIED, name, outcome=applied.outcome, undo=undo)

    async def _probe(self, name: str) -> None:
        try:
            async with asyncio.timeout(ACTION_S):
                shown = await self._action(name).probe(self._incident)
        except (MeshwardenError, TimeoutError) as error:
            await self._step(EntryKind.FAILED, name, outcome=_said(error))
            return
        await self._step(EntryKind.VERIFIED, name, outcome=shown)

    async def _undo(self, name: str) -> None:
        number = self._incident.step_number(name)
        undo = {} if number is None else self._incident.steps[number].undo
        if name not in self.actions and CATALOGUE[name].reach is Reach.NOTHING:
            await self._step(EntryKind.UNDONE, name, outcome="there was nothing to undo")
            return
        try:
            async with asyncio.timeout(ACTION_S):
                said = await self._action(name).undo(self._incident, undo)
        except TimeoutError as error:
            raise DependencyError("incident.undo", f"undoing {name} hangs") from error
        await self._step(EntryKind.UNDONE, name, outcome=said)

    async def _recover(self) -> None:
        try:
            async with asyncio.timeout(ACTION_S):
                shown = await self.recovered(self._incident)
        except TimeoutError as error:
            raise DependencyError("incident.recovery", "the proof of recovery hangs") from error
        await self._write(EntryKind.RECOVERED, {"outcome": shown})

    def _action(self, name: str) -> Action:
        if name not in self.actions:
            raise DependencyError("incident.no_action", f"{name} is not available in this mesh")
        return self.actions[name]

    async def _step(self, kind: EntryKind, action: str, **data: object) -> None:
        await self.records.write_step(self.incident_id, kind, action, **data)

    async def _write(self, kind: EntryKind, data: Mapping[str, str]) -> None:
        async with self.records.deciding.turn:
            await self.records.write(self.incident_id, kind, data=data)

    async def _wait(self, until: int | None) -> None:
        seconds = None if until is None else max(0.0, (until - self.records.now()) / 1e9)
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return


def _ruling(verdict: Verdict) -> dict[str, object]:
    rulings = [
        {"rail": one.rail, "outcome": one.outcome.value, "reason": one.reason}
        for one in verdict.rulings
    ]
    return {"stopped": verdict.stopped, "reason": verdict.reason, "rulings": rulings}


def _said(error: Exception) -> str:
    return "it took too long" if isinstance(error, TimeoutError) else str(error)
