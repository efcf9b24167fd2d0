"""A response from finding to recovery, and all that can come in between."""

from dataclasses import replace

import pytest
from tests.unit.response.conftest import shipped, written
from tests.unit.response.world import BANK, LEDGER, SECOND, Response

from meshwarden.kernel import StateError, VerificationError
from meshwarden.response import (
    Apply,
    EntryKind,
    GuardRails,
    IncidentState,
    Playbook,
    StepState,
    Wait,
    simulate,
    verify_record,
)


def state_of(response: Response) -> IncidentState:
    return response.incident.state


def test_the_full_playbook_contains_replaces_and_recovers(full: Playbook) -> None:
    response = Response()
    response.follow(full)
    response.run()
    incident = response.incident
    assert incident.state is IncidentState.RECOVERED
    assert response.done == [step.action for step in full.steps]
    assert {step.state for step in incident.steps} == {StepState.VERIFIED}
    assert incident.first_call == 4 * SECOND
    assert incident.contained is not None
    assert incident.verified is not None
    assert incident.contained < incident.verified


def test_the_time_box_releases_what_can_be_undone_in_reverse(quarantine: Playbook) -> None:
    response = Response()
    response.follow(quarantine)
    response.run()
    assert state_of(response) is IncidentState.CONTAINED
    assert response.move == Wait(4 * 3600 * SECOND)
    response.now = 4 * 3600 * SECOND
    response.run()
    assert state_of(response) is IncidentState.RECOVERED
    assert response.done == []
    undone = [one.data["action"] for one in response.record if one.kind is EntryKind.UNDONE]
    assert undone == ["snapshot", "notify", "quarantine"]


def test_without_approval_the_ledger_stays_and_the_rest_of_the_plan_goes_on(
    quarantine: Playbook,
) -> None:
    response = Response(LEDGER)
    response.follow(quarantine)
    response.run()
    assert response.done == ["notify"]
    assert state_of(response) is IncidentState.OPEN
    response.note(EntryKind.APPROVED, "alice", action="quarantine")
    assert response.move == Apply("quarantine")


def test_two_people_means_two_different_people() -> None:
    response = Response(rails=GuardRails(two_people=frozenset({"quarantine"})))
    response.follow(written("[quarantine]"))
    response.run()
    for who, passes in (("alice", False), ("alice", False), ("bob", True)):
        response.note(EntryKind.APPROVED, who, action="quarantine")
        assert (response.move == Apply("quarantine")) is passes


def test_what_the_circuit_stopped_a_person_can_take_up_again(quarantine: Playbook) -> None:
    response = Response(world=replace(BANK, actions_last_hour=50))
    response.follow(quarantine)
    response.run()
    assert response.done == ["notify"]
    response.world = BANK
    assert isinstance(response.move, Wait)
    response.follow(quarantine, "alice")
    response.run()
    assert state_of(response) is IncidentState.CONTAINED


def test_nothing_is_replaced_where_quarantine_or_evidence_failed(full: Playbook) -> None:
    response = Response(fails=lambda action: action == "snapshot")
    response.follow(full)
    response.run()
    assert "replace" not in response.done
    assert state_of(response) is IncidentState.CONTAINED
    failed = Response(fails=lambda action: action == "quarantine")
    failed.follow(full)
    failed.run()
    assert state_of(failed) is IncidentState.FAILED
    assert "revoke-svid" in failed.done  # what still helps is done


@pytest.mark.parametrize("playbook", ["observe", "throttle", "quarantine", "full"])
def test_a_controller_killed_between_any_two_steps_resumes_to_the_same_end(playbook: str) -> None:
    def until(kills: int) -> tuple[Response, bool]:
        response = Response()
        response.follow(shipped(playbook))
        survived = True
        for number, _ in enumerate(response.steps()):
            if number == kills:
                survived = False
                break
        return response, survived

    whole, _ = until(-1)
    kills, survived = 0, False
    while not survived:
        resumed, survived = until(kills)
        resumed.run()  # reads the record that the killed one left
        assert resumed.incident.state is whole.incident.state
        assert resumed.done == whole.done
        kills += 1
    assert kills > 2


def test_simulation_foresees_what_then_happens_and_changes_nothing(full: Playbook) -> None:
    response = Response()
    foreseen = simulate(response.incident, full, BANK, GuardRails(), now=0)
    assert [one.action for one in foreseen] == [step.action for step in full.steps]
    assert {one.outcome for one in foreseen} == {"would be done"}
    held = simulate(Response(LEDGER).incident, full, BANK, GuardRails(), now=0)
    assert (held[0].action, held[0].outcome) == ("quarantine", "waits for approval")
    assert "replace" not in [one.action for one in held if one.outcome == "would be done"]


def test_nothing_happens_to_a_closed_incident(quarantine: Playbook) -> None:
    response = Response()
    response.note(EntryKind.CLOSED, "alice", verdict="false-alarm")
    assert state_of(response) is IncidentState.FALSE_ALARM
    with pytest.raises(StateError, match="it is false-alarm"):
        response.follow(quarantine)


def test_an_incident_that_holds_something_is_not_closed(quarantine: Playbook) -> None:
    response = Response()
    response.follow(quarantine)
    response.run()
    with pytest.raises(StateError, match="release it first"):
        response.note(EntryKind.CLOSED, "alice", verdict="closed")


def test_each_change_of_the_record_shows(full: Playbook) -> None:
    response = Response()
    response.follow(full)
    response.run()
    record = response.record
    assert verify_record(record) == len(record)
    for changed in (
        [*record[:3], replace(record[3], actor="mallory"), *record[4:]],
        [*record[:3], *record[4:]],
        [record[1], record[0], *record[2:]],
        [*record[:3], replace(record[3], data={"action": "notify"}), *record[4:]],
    ):
        with pytest.raises(VerificationError) as refused:
            verify_record(changed)
        assert refused.value.code == "incident.record"
