"""A thousand suspects at once, simulated: the real controller and store, actions that only count.

What is looked at: that the guard rails hold at every moment, that every record folds to the state
that the controller has, and how much memory it takes.
"""

import asyncio
import itertools
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.storage.database import open_database
from meshwarden.adapters.storage.incidents import IncidentStore
from meshwarden.control.response import Applied, Controller, Deciding, Records
from meshwarden.control.response.opening import load_playbook
from meshwarden.kernel import Finding, Severity
from meshwarden.response import (
    CATALOGUE,
    GuardRails,
    Incident,
    ServiceFacts,
    StepState,
    Suspect,
    verify_record,
)

WITHIN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What came of it; `at_once`: the most instances contained at one moment."""

    incidents: int
    seconds: float
    grown_mib: float
    at_once: int
    allowed: int
    done: int
    held_back: int


@dataclass
class _Counting:
    """The instances that are contained now, and the most that ever were."""

    now: set[str] = field(default_factory=set)
    most: int = 0

    def put(self, who: str) -> None:
        self.now.add(who)
        self.most = max(self.most, len(self.now))


@dataclass
class _Hand:
    """An action that takes a moment and counts."""

    name: str
    counting: _Counting

    async def check(self, _: Incident) -> str | None:
        return None

    async def apply(self, incident: Incident) -> Applied:
        await asyncio.sleep(0.001)
        if self.name == "quarantine":
            self.counting.put(incident.id)
        if self.name == "replace":
            self.counting.now.discard(incident.id)
        return Applied(outcome="done")

    async def probe(self, _: Incident) -> str:
        return "it holds"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        del undo
        self.counting.now.discard(incident.id)
        return "undone"


async def measure_flood(count: int) -> Flood:
    """Return what `count` findings about as many services at once come to."""
    with tempfile.TemporaryDirectory() as folder:
        return await _measure(count, Path(folder))


async def _measure(count: int, folder: Path) -> Flood:
    counting, rails = _Counting(), GuardRails(max_actions_per_hour=200)
    services = {f"s{number}": ServiceFacts(tier=1) for number in range(count)}
    numbers = itertools.count()
    store = IncidentStore(open_database(folder / "incidents.sqlite"))
    records = Records(
        store=store,
        clock=SystemClock(),
        deciding=Deciding(rails=rails, services=lambda: services),
    )
    controller = Controller(
        holder="benchmark",
        records=records,
        actions={name: _Hand(name, counting) for name in CATALOGUE},
        playbooks=(load_playbook("full"),),
        suspect_of=lambda one: Suspect(service=one.evidence[0], identity=one.subject),
        new_id=lambda: f"i{next(numbers):06}",
    )
    before, begin = _resident_mib(), time.perf_counter()
    running = asyncio.create_task(controller.run())
    for name in services:
        await controller.take(_finding(name))
    async with asyncio.timeout(WITHIN_S):
        while not all(map(_is_settled, records.incidents.values())):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    seconds = time.perf_counter() - begin
    await _until_still(records)
    running.cancel()
    await asyncio.wait({running})
    for incident in records.incidents.values():
        assert store.load_incident(incident.id) == incident
        verify_record(store.load_record(incident.id))
    done = sum(one.replaced for one in records.incidents.values())
    assert counting.most <= rails.max_contained
    return Flood(
        incidents=count,
        seconds=seconds,
        grown_mib=_resident_mib() - before,
        at_once=counting.most,
        allowed=rails.max_contained,
        done=done,
        held_back=count - done,
    )


async def _until_still(records: Records) -> None:
    """Return once nothing was put on record for a while: what was begun is over."""
    entries = -1
    while entries != (now := sum(one.entries for one in records.incidents.values())):
        entries = now
        await asyncio.sleep(1)


def _is_settled(incident: Incident) -> bool:
    if incident.recovered is not None:
        return True
    states = {step.action: step.state for step in incident.steps}
    return states.get("quarantine") in {StepState.WAITING, StepState.STOPPED}


def _finding(name: str) -> Finding:
    return Finding(
        time=time.time_ns(),
        code="behaviour.volume",
        subject=f"spiffe://flood.example/{name}",
        severity=Severity.HIGH,
        sentence="it sent more than ever",
        p_value=1e-9,
        evidence=(name,),
    )


def _resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
