"""The controller on a real store, with hands that a test can see."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.response.hands import (
    Hand,
    Killed,
    KillingStore,
    MovableClock,
    all_hands,
    controller,
    reaches,
    running,
    steps,
)
from tests.unit.response.world import PAYMENTS, finding

from meshwarden.adapters.storage.database import open_database
from meshwarden.adapters.storage.incidents import IncidentStore
from meshwarden.control.response import Controller
from meshwarden.kernel import InputError, StateError
from meshwarden.response import (
    GuardRails,
    IncidentState,
    ServiceFacts,
    StepState,
    verify_record,
)


@pytest.fixture
def store(tmp_path: Path) -> IncidentStore:
    return IncidentStore(open_database(tmp_path / "state.db"))


async def test_a_finding_is_contained_replaced_and_recovered(store: IncidentStore) -> None:
    done: set[tuple[str, str]] = set()
    async with running(controller(store, hands=all_hands(done))) as one:
        assert await one.take(finding())
        incident = await reaches(one, IncidentState.RECOVERED)
    assert set(steps(incident).values()) == {StepState.VERIFIED}
    assert {action for action, _ in done} == set(steps(incident))
    assert verify_record(store.load_record("i1")) == incident.entries


async def test_a_hundred_findings_are_one_incident(store: IncidentStore) -> None:
    async with running(controller(store, order=("observe",))) as one:
        for _ in range(100):
            await one.take(finding())
        assert len(one.records.incidents) == 1
        assert len(one.records.incidents["i1"].findings) == 100


async def test_nobody_is_suspected_by_a_name_that_nobody_proved(store: IncidentStore) -> None:
    async with running(controller(store)) as one:
        assert await one.take(replace(finding(), subject="unknown")) is None
        assert one.records.incidents == {}


async def test_a_faint_sign_is_observed_and_a_clear_one_then_contained(
    store: IncidentStore,
) -> None:
    async with running(controller(store)) as one:
        faint = await one.take(finding(p=1e-3))
        assert faint
        assert faint.playbook == "observe"
        clear = await one.take(finding(code="behaviour.scan", p=1e-9))
        assert clear
        assert (clear.id, clear.playbook) == (faint.id, "full")
        await reaches(one, IncidentState.RECOVERED)


async def test_an_action_that_cannot_fails_or_does_not_show_is_a_failed_step(
    store: IncidentStore,
) -> None:
    done: set[tuple[str, str]] = set()
    hands = all_hands(done)
    hands["notify"] = Hand("notify", done, fails=True)
    hands["snapshot"] = Hand("snapshot", done, shows=False)
    hands["rotate-secrets"] = Hand("rotate-secrets", done, cannot="no store is known")
    del hands["revoke-svid"]
    async with running(controller(store, hands=hands)) as one:
        await one.take(finding())
        async with asyncio.timeout(30):
            incident = await one.records.until(
                "i1", lambda it: steps(it).get("rotate-secrets") is StepState.FAILED
            )
    failed = {step.action: step.outcome for step in incident.steps if step.state == "failed"}
    assert failed == {
        "notify": "notify fails",
        "revoke-svid": "revoke-svid is not available in this mesh",
        "snapshot": "snapshot does not hold",
        "rotate-secrets": "no store is known",
    }
    assert steps(incident)["replace"] is StepState.PLANNED
    assert incident.state is IncidentState.CONTAINED


async def test_framing_the_ledger_ends_in_a_question_not_in_an_outage(
    store: IncidentStore,
) -> None:
    done: set[tuple[str, str]] = set()
    ledger = "spiffe://bank.example/ns/core/sa/ledger"
    services = {"ledger": ServiceFacts(tier=0, instances=1, healthy=1)}
    async with running(controller(store, hands=all_hands(done), services=services)) as one:
        for number in range(20):
            await one.take(replace(finding(code=f"behaviour.kind{number}"), subject=ledger))
        async with asyncio.timeout(30):
            incident = await one.records.until(
                "i1", lambda it: steps(it).get("notify") is StepState.VERIFIED
            )
        assert {action for action, _ in done} == {"notify"}
        assert steps(incident)["quarantine"] is StepState.WAITING
        await one.approve("i1", "quarantine", who="alice")
        await reaches(one, IncidentState.CONTAINED)


async def test_a_flood_of_incidents_is_stopped_by_the_rails(store: IncidentStore) -> None:
    done: set[tuple[str, str]] = set()
    services = {f"s{n}": ServiceFacts(tier=2, instances=2, healthy=2) for n in range(30)}
    rails = GuardRails(max_contained=3)
    flood = [replace(finding(), subject=f"spiffe://bank.example/s{n}") for n in range(30)]
    one = controller(
        store, hands=all_hands(done), services=services, rails=rails, order=("quarantine",)
    )
    async with running(one):
        await asyncio.gather(*map(one.take, flood))
        async with asyncio.timeout(60):
            for incident_id in list(one.records.incidents):
                await one.records.until(
                    incident_id,
                    lambda it: steps(it)["snapshot"] in {StepState.VERIFIED, StepState.WAITING},
                )
    assert len({suspect for action, suspect in done if action == "quarantine"}) == 3


async def test_the_time_box_lets_go_by_itself(store: IncidentStore) -> None:
    done: set[tuple[str, str]] = set()
    clock = MovableClock()
    hands = all_hands(done)
    async with running(controller(store, hands=hands, clock=clock, order=("quarantine",))) as one:
        await one.take(finding())
        async with asyncio.timeout(30):
            await one.records.until("i1", lambda it: steps(it)["snapshot"] is StepState.VERIFIED)
        clock.moved = timedelta(hours=5)
        await one.take(finding())  # anything that wakes it
        incident = await reaches(one, IncidentState.RECOVERED)
    assert done == set()
    assert set(steps(incident).values()) == {StepState.UNDONE}
    assert verify_record(store.load_record("i1")) == incident.entries


async def test_by_hand_the_same_rails_hold(store: IncidentStore) -> None:
    services = {"payments": ServiceFacts(tier=0, instances=1, healthy=1)}
    rails = GuardRails(two_people=frozenset({"quarantine"}))
    async with running(controller(store, services=services, rails=rails)) as one:
        with pytest.raises(InputError, match="no playbook is called 'nuke'"):
            await one.contain(PAYMENTS, "nuke", who="alice")
        await one.contain(PAYMENTS, "full", who="alice")
        async with asyncio.timeout(30):
            await one.records.until("i1", lambda it: steps(it)["quarantine"] == "waiting")
        await one.approve("i1", "quarantine", who="bob")
        await reaches(one, IncidentState.RECOVERED)
        await one.close("i1", who="alice", verdict="closed")
        with pytest.raises(StateError):
            await one.release("i1", who="alice", reason="too late")
        with pytest.raises(InputError):
            await one.approve("i9", "quarantine", who="bob")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_around_any_write_the_next_controller_finishes_the_work(
    tmp_path: Path, after: bool
) -> None:
    """Generated: one run for each write of an undisturbed response."""
    writes = 0
    for at in range(100):
        store = IncidentStore(open_database(tmp_path / f"{at}-{after}.db"))
        done: set[tuple[str, str]] = set()
        killing = KillingStore(store, at=at, after=after)
        first = controller(killing, hands=all_hands(done), clock=MovableClock())
        await _run_until_killed(first, killing)
        if not killing.killed:
            writes = at
            break
        clock = MovableClock(moved=timedelta(minutes=1))  # the dead one's lease is over
        second = controller(store, holder="c2", hands=all_hands(done), clock=clock)
        async with running(second):
            if "i1" not in second.records.incidents or not second.records.incidents["i1"].steps:
                await second.take(finding())  # it never got on record: it is found again
            incident = await reaches(second, IncidentState.RECOVERED)
        assert set(steps(incident).values()) == {StepState.VERIFIED}
        assert {action for action, _ in done} == set(steps(incident))
        assert verify_record(store.load_record("i1")) == incident.entries
    assert writes > 20


async def _run_until_killed(one: Controller, store: KillingStore) -> None:
    task = asyncio.create_task(one.run())
    while not one._leading:
        await asyncio.sleep(0)
    with contextlib.suppress(Killed):
        await one.take(finding())
        async with asyncio.timeout(30):
            while not store.killed:
                incident = one.records.incidents.get("i1")
                if incident and incident.state is IncidentState.RECOVERED:
                    break
                await asyncio.sleep(0.001)
    for _, following in one._followed.values():
        following.cancel()
        with contextlib.suppress(Killed, asyncio.CancelledError):
            await following
    one._followed.clear()
    task.cancel()
    with contextlib.suppress(Killed, asyncio.CancelledError):
        await task


async def test_two_controllers_act_once(store: IncidentStore) -> None:
    done: set[tuple[str, str]] = set()
    async with running(controller(store, hands=all_hands(done))) as first:
        second = controller(store, holder="c2", hands=all_hands(done))
        task = asyncio.create_task(second.run())
        await first.take(finding())
        await reaches(first, IncidentState.RECOVERED)
        assert not second._leading
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    started = [e.data["action"] for e in store.load_record("i1") if e.kind == "started"]
    assert len(started) == len(set(started))
