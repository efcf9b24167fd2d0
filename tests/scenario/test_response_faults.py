"""What goes wrong while a response is under way: actions, clocks, disks, other controllers."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.response.hands import (
    Hand,
    MovableClock,
    all_hands,
    controller,
    reaches,
    running,
    steps,
)
from tests.unit.response.world import finding

from meshwarden.adapters.storage.database import open_database
from meshwarden.adapters.storage.incidents import IncidentStore
from meshwarden.control.response import Applied, Controller, following
from meshwarden.control.response import controller as controlling
from meshwarden.kernel import DependencyError
from meshwarden.response import Entry, Incident, IncidentState, StepState, verify_record

Done = set[tuple[str, str]]


@pytest.fixture
def store(tmp_path: Path) -> IncidentStore:
    return IncidentStore(open_database(tmp_path / "state.db"))


@dataclass
class Hanging(Hand):
    """Never comes back from what `hangs` names; says when it has begun."""

    hangs: str = "apply"
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def apply(self, incident: Incident) -> Applied:
        await self._perhaps("apply")
        return await super().apply(incident)

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        await self._perhaps("undo")
        return await super().undo(incident, undo)

    async def _perhaps(self, what: str) -> None:
        if self.hangs == what:
            self.begun.set()
            await asyncio.Event().wait()


@dataclass
class Half(Hand):
    """Does its work, and fails before it says so, `times` times."""

    times: int = 1

    async def apply(self, incident: Incident) -> Applied:
        applied = await super().apply(incident)
        if self.times:
            self.times -= 1
            raise DependencyError("test.half", f"{self.name} did one half")
        return applied


class Failing(IncidentStore):
    """A store on a disk that is full for a while."""

    def __init__(self, store: IncidentStore) -> None:
        super().__init__(store._engine)
        self.full = False
        self.refused = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def append_entry(self, incident_id: str, entry: Entry) -> None:
        if self.full:
            self._loop.call_soon_threadsafe(self.refused.set)
            raise DependencyError("incident.write", "the disk is full")
        super().append_entry(incident_id, entry)


async def until_step(one: Controller, action: str, *states: StepState) -> Incident:
    async with asyncio.timeout(30):
        return await one.records.until("i1", lambda it: steps(it).get(action) in states)


async def test_an_action_that_hangs_is_given_up_and_the_rest_goes_on(
    store: IncidentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ACTION_S", 0.2)
    done: Done = set()
    hands = all_hands(done) | {"snapshot": Hanging("snapshot", done)}
    async with running(controller(store, hands=hands)) as one:
        await one.take(finding())
        incident = await until_step(one, "rotate-secrets", StepState.VERIFIED)
    assert steps(incident)["snapshot"] is StepState.FAILED
    assert {step.outcome for step in incident.steps if step.action == "snapshot"} == {
        "it took too long"
    }
    assert steps(incident)["replace"] is StepState.PLANNED, "evidence must not be destroyed"
    assert incident.state is IncidentState.CONTAINED


async def test_a_quarantine_that_half_succeeds_is_failed_held_and_undone_on_release(
    store: IncidentStore,
) -> None:
    done: Done = set()
    hands = all_hands(done) | {"quarantine": Half("quarantine", done)}
    async with running(controller(store, hands=hands, order=("quarantine",))) as one:
        await one.take(finding())
        incident = await until_step(one, "quarantine", StepState.FAILED)
        assert any(step.holds for step in incident.steps)
        assert ("quarantine", "payments") in done
        await one.release("i1", who="ada", reason="false alarm")
        await reaches(one, IncidentState.RECOVERED)
    assert ("quarantine", "payments") not in done


async def test_a_quarantine_that_half_succeeded_is_tried_again_where_a_person_says_so(
    store: IncidentStore,
) -> None:
    done: Done = set()
    hands = all_hands(done) | {"quarantine": Half("quarantine", done)}
    async with running(controller(store, hands=hands, order=("quarantine",))) as one:
        incident = await one.take(finding())
        assert incident
        await until_step(one, "quarantine", StepState.FAILED)
        await one.contain(incident.suspect, "quarantine", who="ada")
        await reaches(one, IncidentState.CONTAINED)


async def test_undoing_that_hangs_is_tried_again_until_it_works(
    store: IncidentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ACTION_S", 0.2)
    monkeypatch.setattr(following, "RETRY_S", 0.05)
    done: Done = set()
    hanging = Hanging("quarantine", done, hangs="undo")
    hands = all_hands(done) | {"quarantine": hanging}
    async with running(controller(store, hands=hands, order=("quarantine",))) as one:
        await one.take(finding())
        await until_step(one, "snapshot", StepState.VERIFIED)
        await one.release("i1", who="ada", reason="false alarm")
        async with asyncio.timeout(30):
            await hanging.begun.wait()
        assert one.records.incidents["i1"].state is IncidentState.RECOVERING
        hanging.hangs = ""
        await reaches(one, IncidentState.RECOVERED)
    assert done == set()


async def test_nothing_is_done_that_could_not_be_put_on_record_before(
    store: IncidentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETRY_S", 0.05)
    done: Done = set()
    full = Failing(store)
    waiting = Hanging("notify", done)
    hands = all_hands(done) | {"notify": waiting}
    async with running(controller(full, hands=hands)) as one:
        await one.take(finding())  # full: quarantine, revoke-svid, then notify
        async with asyncio.timeout(30):
            await waiting.begun.wait()
        full.full, waiting.hangs = True, ""
        monkeypatch.setattr(following, "ACTION_S", 0.2)
        one._followed["i1"][1].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one._followed["i1"][1]
        one._follow("i1")
        async with asyncio.timeout(30):
            await full.refused.wait()
        assert ("snapshot", "payments") not in done
        assert ("quarantine", "payments") in done, "what holds goes on holding"
        full.full = False
        incident = await reaches(one, IncidentState.RECOVERED)
    assert verify_record(store.load_record("i1")) == incident.entries


@pytest.mark.parametrize("step", [timedelta(hours=-2), timedelta(minutes=-1), timedelta(hours=2)])
async def test_a_clock_that_steps_changes_nothing_but_times(
    store: IncidentStore, step: timedelta
) -> None:
    done: Done = set()
    clock = MovableClock()
    waiting = Hanging("snapshot", done)
    hands = all_hands(done) | {"snapshot": waiting}
    async with running(controller(store, hands=hands, clock=clock)) as one:
        await one.take(finding())
        async with asyncio.timeout(30):
            await waiting.begun.wait()
        clock.moved += step
        waiting.hangs = ""
        one._followed["i1"][1].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one._followed["i1"][1]
        one._follow("i1")
        incident = await reaches(one, IncidentState.RECOVERED)
    assert set(steps(incident).values()) == {StepState.VERIFIED}
    assert verify_record(store.load_record("i1")) == incident.entries


async def test_two_that_both_believe_to_lead_put_each_transition_on_record_once(
    store: IncidentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one's clock is ahead, so the first one's lease looks over to it."""
    monkeypatch.setattr(following, "RETRY_S", 0.05)
    monkeypatch.setattr(controlling, "LEASE_S", 100)  # the first one asks for it too late
    done: Done = set()
    ahead = MovableClock(moved=timedelta(minutes=5))
    async with (
        running(controller(store, hands=all_hands(done))) as first,
        running(controller(store, holder="c2", hands=all_hands(done), clock=ahead)) as second,
    ):
        assert first._leading
        assert second._leading
        await first.take(finding())
        with contextlib.suppress(DependencyError):
            second.records.reread("i1")
        second._follow("i1")
        async with asyncio.timeout(30):
            while IncidentState.RECOVERED not in {
                one.records.incidents["i1"].state for one in (first, second)
            }:
                await asyncio.sleep(0.01)
    entries = store.load_record("i1")
    assert verify_record(entries) == len(entries)
    begun = [one.data["action"] for one in entries if one.kind == "started"]
    assert len(begun) <= len(set(begun)) + 1  # what had no end yet when the second one looked
    over: set[str] = set()
    for one in entries:
        assert one.kind not in {"started", "applied"} or one.data["action"] not in over
        if one.kind == "applied":
            over.add(str(one.data["action"]))
    ended = [one.data["action"] for one in entries if one.kind == "verified"]
    assert len(ended) == len(set(ended))


async def test_the_one_whose_lease_ran_out_stops_acting(store: IncidentStore) -> None:
    done: Done = set()
    ahead = MovableClock(moved=timedelta(minutes=5))
    async with (
        running(controller(store, hands=all_hands(done))) as first,
        running(controller(store, holder="c2", clock=ahead)) as second,
    ):
        async with asyncio.timeout(30):
            while first._leading:
                await asyncio.sleep(0.05)
        assert second._leading
        assert first._followed == {}


async def test_a_finding_while_nobody_leads_is_answered_by_the_next(store: IncidentStore) -> None:
    resting = controller(store)
    await resting.take(replace(finding()))
    assert store.incident_ids() == ["i1"]
    done: Done = set()
    async with running(controller(store, holder="c2", hands=all_hands(done))) as one:
        await reaches(one, IncidentState.RECOVERED)
    assert ("replace", "payments") in done
