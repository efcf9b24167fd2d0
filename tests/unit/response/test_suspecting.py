"""Whom findings are about, and who has to be in quarantine after a restart."""

from dataclasses import replace

import pytest
from tests.unit.response.world import SECOND, finding

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.yaml import parse_document
from meshwarden.behaviour import Verdict
from meshwarden.control.response.suspecting import AFTERSHOCK_S, Suspecting, isolated_by
from meshwarden.control.watching.findings import finding_about_verdict
from meshwarden.policy import parse_policy
from meshwarden.response import Incident, IncidentState, Instance, Step, StepState, Suspect

POLICY = parse_policy(
    parse_document(
        b"apiVersion: meshwarden.dev/v1\ntrust_domain: bank.example\nservices:\n"
        b"  payments: {identity: spiffe://bank.example/ns/core/sa/payments}\n"
        b"  ledger: {identity: spiffe://bank.example/ns/core/sa/ledger}\n",
        name="access.yaml",
    )
)
OLD = Suspect(
    service="payments", identity="spiffe://bank.example/ns/core/sa/payments", instance="payments-1"
)


def suspecting(*incidents: Incident) -> Suspecting:
    return Suspecting(
        policy=lambda: POLICY,
        instance=lambda service: Instance(service=service, name=f"{service}-2"),
        incidents=lambda: incidents,
    )


def incident(**changes: object) -> Incident:
    return replace(Incident(id="i1", suspect=OLD, opened=0), **changes)  # type: ignore[arg-type]


def steps(**states: StepState) -> tuple[Step, ...]:
    return tuple(Step(action=name.replace("_", "-"), state=state) for name, state in states.items())


def test_a_proven_caller_is_suspected_as_the_instance_that_runs_now() -> None:
    found = suspecting().suspect_of(finding())
    assert found == replace(OLD, instance="payments-2")


@pytest.mark.parametrize("subject", ["unknown", "external:host", "spiffe://other.example/ledger"])
def test_who_is_no_service_of_the_mesh_is_no_suspect(subject: str) -> None:
    assert suspecting().suspect_of(replace(finding(), subject=subject)) is None


@pytest.mark.parametrize("code", ["identity.refused", "dataplane.refused", "response.waiting"])
def test_what_was_only_claimed_is_no_reason_to_act(code: str) -> None:
    """A forged certificate that names the ledger must not get the ledger cut off."""
    ledger = replace(finding(code=code), subject="spiffe://bank.example/ns/core/sa/ledger")
    assert suspecting().suspect_of(ledger) is None


def test_what_people_say_of_a_caller_makes_it_no_suspect() -> None:
    verdict = finding_about_verdict(SystemClock(), Verdict(
        source=finding().subject, until=1 << 62, reason="a migration", by="ada"))  # fmt: skip
    assert verdict.subject == finding().subject
    assert suspecting().suspect_of(verdict) is None


def test_a_clean_instance_is_not_blamed_for_its_predecessor() -> None:
    over = incident(
        state=IncidentState.RECOVERED,
        recovered=100 * SECOND,
        steps=steps(replace=StepState.VERIFIED),
    )
    soon = replace(finding(), time=(100 + AFTERSHOCK_S - 1) * SECOND)
    late = replace(finding(), time=(100 + AFTERSHOCK_S + 1) * SECOND)
    assert suspecting(over).suspect_of(soon) == OLD
    assert suspecting(over).suspect_of(late) == replace(OLD, instance="payments-2")


@pytest.mark.parametrize("state", [StepState.STARTED, StepState.APPLIED, StepState.VERIFIED])
def test_nor_while_it_is_just_being_started(state: StepState) -> None:
    going = incident(state=IncidentState.CONTAINED, steps=steps(replace=state))
    assert suspecting(going).suspect_of(replace(finding(), time=9 * SECOND)) == OLD


@pytest.mark.parametrize(
    ("quarantine", "replaced", "isolated"),
    [
        (StepState.PLANNED, StepState.PLANNED, False),
        (StepState.WAITING, StepState.PLANNED, False),
        (StepState.STARTED, StepState.PLANNED, True),
        (StepState.FAILED, StepState.PLANNED, True),
        (StepState.VERIFIED, StepState.STARTED, True),
        (StepState.VERIFIED, StepState.FAILED, True),
        (StepState.VERIFIED, StepState.APPLIED, False),
        (StepState.UNDONE, StepState.PLANNED, False),
    ],
)
def test_a_control_plane_that_starts_again_isolates_whoever_may_be(
    quarantine: StepState, replaced: StepState, isolated: bool
) -> None:
    one = incident(
        state=IncidentState.CONTAINED, steps=steps(quarantine=quarantine, replace=replaced)
    )
    assert (isolated_by([one]) == {"payments"}) is isolated


def test_nobody_is_isolated_by_an_incident_that_is_over() -> None:
    held = steps(quarantine=StepState.VERIFIED)
    assert isolated_by([incident(recovered=1, steps=held)]) == frozenset()
    assert isolated_by([incident(state=IncidentState.CLOSED, steps=held)]) == frozenset()
