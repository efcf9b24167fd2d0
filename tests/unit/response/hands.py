"""Actions that act on a dictionary, a clock that a test moves, and a store that kills."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.unit.response.conftest import shipped
from tests.unit.response.world import PAYMENTS

from meshwarden.adapters.storage.incidents import IncidentStore
from meshwarden.control.response import Applied, Controller, Deciding, Records
from meshwarden.kernel import DependencyError, Finding, VerificationError
from meshwarden.response import (
    CATALOGUE,
    Entry,
    GuardRails,
    Incident,
    IncidentState,
    ServiceFacts,
    StepState,
    Suspect,
)

FULL_FIRST = ("full", "throttle", "observe")


@dataclass
class MovableClock:
    moved: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.moved


@dataclass
class Hand:
    """One action on the world `done`: (action, suspect) that hold now."""

    name: str
    done: set[tuple[str, str]]
    cannot: str | None = None
    fails: bool = False
    shows: bool = True

    async def check(self, _: Incident) -> str | None:
        return self.cannot

    async def apply(self, incident: Incident) -> Applied:
        if self.fails:
            raise DependencyError("test.fails", f"{self.name} fails")
        self.done.add((self.name, incident.suspect.service))
        return Applied(outcome=f"{self.name} done", undo={"place": "here"})

    async def probe(self, incident: Incident) -> str:
        if not self.shows or (self.name, incident.suspect.service) not in self.done:
            raise VerificationError("test.probe", f"{self.name} does not hold")
        return f"{self.name} holds"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        assert undo.get("place", "here") == "here"
        self.done.discard((self.name, incident.suspect.service))
        return f"{self.name} undone"


class Killed(BaseException):
    """SIGKILL, as this process can play it: nothing may catch it."""


class KillingStore(IncidentStore):
    """Kills its process around the n-th write: before it, or after it is durable."""

    def __init__(self, store: IncidentStore, *, at: int, after: bool) -> None:
        super().__init__(store._engine)
        self._at = at
        self._after = after
        self.killed = False
        self._writes = itertools.count()

    def append_entry(self, incident_id: str, entry: Entry) -> None:
        number = next(self._writes)
        if number == self._at and not self._after:
            self.killed = True
            raise Killed
        super().append_entry(incident_id, entry)
        if number == self._at:
            self.killed = True
            raise Killed


def suspect_of(finding: Finding) -> Suspect | None:
    if not finding.subject.startswith("spiffe://"):
        return None
    return Suspect(service=finding.subject.rsplit("/", 1)[1], identity=finding.subject)


def controller(
    store: IncidentStore,
    *,
    holder: str = "c1",
    hands: Mapping[str, Hand] | None = None,
    rails: GuardRails | None = None,
    services: Mapping[str, ServiceFacts] | None = None,
    clock: MovableClock | None = None,
    order: tuple[str, ...] = FULL_FIRST,
) -> Controller:
    known = services or {PAYMENTS.service: ServiceFacts(tier=1, instances=3, healthy=3)}
    deciding = Deciding(rails=rails or GuardRails(), services=lambda: known)
    numbers = itertools.count(1)
    return Controller(
        holder=holder,
        records=Records(store=store, clock=clock or MovableClock(), deciding=deciding),
        actions=hands if hands is not None else all_hands(set()),
        playbooks=tuple(shipped(name) for name in order),
        suspect_of=suspect_of,
        new_id=lambda: f"i{next(numbers)}",
    )


def all_hands(done: set[tuple[str, str]]) -> dict[str, Hand]:
    return {name: Hand(name, done) for name in CATALOGUE}


@contextlib.asynccontextmanager
async def running(one: Controller) -> AsyncIterator[Controller]:
    task = asyncio.create_task(one.run())
    while not one._leading:
        await asyncio.sleep(0)
    try:
        yield one
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def reaches(one: Controller, state: IncidentState, incident_id: str = "i1") -> Incident:
    async with asyncio.timeout(30):
        return await one.records.until(incident_id, lambda incident: incident.state is state)


def steps(incident: Incident) -> dict[str, StepState]:
    return {step.action: step.state for step in incident.steps}
