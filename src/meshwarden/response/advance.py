"""From record to incident: one entry at a time, and nothing that does not fit the state.

`advance` is the only way in which an incident changes. It is a pure fold, so that a control plane
that was killed at any line finds the very incident again by reading its record.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from meshwarden.kernel import Contribution, Finding, Severity, StateError
from meshwarden.response.catalogue import CATALOGUE, Reach
from meshwarden.response.confidence import probability_of
from meshwarden.response.model import Incident, IncidentState, Step, StepState, Suspect
from meshwarden.response.record import Entry, EntryKind

MAX_FINDINGS: Final = 200
"""Findings that one incident keeps whole; more are counted, so that a flood stays small."""

_Data = Mapping[str, Any]


def fold(entries: Iterable[Entry], *, incident_id: str) -> Incident:
    """Return the incident of a record; StateError `incident.empty` where it has no entries."""
    incident: Incident | None = None
    for entry in entries:
        incident = advance(incident, entry, incident_id=incident_id)
    if incident is None:
        raise StateError("incident.empty", f"incident {incident_id} has no record")
    return incident


def advance(incident: Incident | None, entry: Entry, *, incident_id: str) -> Incident:
    """Return `incident` after `entry`.

    Raises:
        StateError: `incident.transition` where the entry does not fit the state.
    """
    if incident is None:
        if entry.kind is not EntryKind.OPENED:
            raise _misfit(incident_id, entry, "nothing is open")
        suspect = Suspect(**entry.data["suspect"])
        return Incident(id=incident_id, suspect=suspect, opened=entry.time, entries=1)
    if entry.kind is EntryKind.OPENED or incident.state.ended:
        raise _misfit(incident.id, entry, f"it is {incident.state}")
    changed = _CHANGES[entry.kind](incident, entry)
    return replace(changed, entries=incident.entries + 1)


def _found(incident: Incident, entry: Entry) -> Incident:
    finding = parse_finding(entry.data["finding"])
    if len(incident.findings) >= MAX_FINDINGS:
        count = int(entry.data.get("count", 1))
        return replace(incident, more_findings=incident.more_findings + count)
    findings = (*incident.findings, finding)
    first = entry.data.get("first_call")
    known = [one for one in (incident.first_call, first) if one is not None]
    return replace(
        incident,
        findings=findings,
        probability=probability_of(findings),
        first_call=min(known, default=None),
    )


def _planned(incident: Incident, entry: Entry) -> Incident:
    """A plan; a later one adds what is new, and takes up again what was stopped or failed."""
    steps = {step.action: step for step in incident.steps}
    for wanted in entry.data["steps"]:
        step = steps.get(wanted["action"], Step(action=wanted["action"]))
        if step.state in {StepState.STOPPED, StepState.FAILED}:
            step = replace(step, state=StepState.PLANNED)
        steps[step.action] = replace(step, approvals=int(wanted["approvals"]))
    return replace(
        incident,
        playbook=entry.data["playbook"],
        steps=tuple(steps.values()),
        release_at=entry.time + int(entry.data["time_box_s"]) * 10**9,
    )


def _judged(incident: Incident, entry: Entry) -> Incident:
    state = StepState.STOPPED if entry.data["stopped"] else StepState.WAITING
    step = _step(incident, entry)
    return _with_step(
        incident, entry, replace(step, state=state, outcome=str(entry.data["reason"]))
    )


def _approved(incident: Incident, entry: Entry) -> Incident:
    step = _step(incident, entry)
    return _with_step(incident, entry, replace(step, approvers=step.approvers | {entry.actor}))


def _started(incident: Incident, entry: Entry) -> Incident:
    changed = _moved(incident, entry, StepState.STARTED)
    action = entry.data["action"]
    touches = CATALOGUE[action].reach is not Reach.NOTHING
    again = action == "quarantine" and incident.state is IncidentState.FAILED
    if again or (touches and incident.state is IncidentState.OPEN):
        return replace(changed, state=IncidentState.CONTAINING)
    return changed


def _applied(incident: Incident, entry: Entry) -> Incident:
    step = replace(
        _step(incident, entry),
        state=StepState.APPLIED,
        outcome=str(entry.data["outcome"]),
        undo=dict(entry.data.get("undo", {})),
    )
    changed = _with_step(incident, entry, step)
    if step.action == "quarantine":
        return replace(changed, contained=entry.time)
    return changed


def _verified(incident: Incident, entry: Entry) -> Incident:
    changed = _moved(incident, entry, StepState.VERIFIED)
    if entry.data["action"] == "quarantine":
        return replace(changed, state=IncidentState.CONTAINED, verified=entry.time)
    if entry.data["action"] == "replace":
        return replace(changed, state=IncidentState.RECOVERING)
    return changed


def _failed(incident: Incident, entry: Entry) -> Incident:
    changed = _moved(incident, entry, StepState.FAILED)
    if entry.data["action"] == "quarantine":
        return replace(changed, state=IncidentState.FAILED)
    return changed


def _releasing(incident: Incident, _: Entry) -> Incident:
    return replace(incident, state=IncidentState.RECOVERING, release_at=None)


def _undone(incident: Incident, entry: Entry) -> Incident:
    return _moved(incident, entry, StepState.UNDONE)


def _recovered(incident: Incident, entry: Entry) -> Incident:
    return replace(incident, state=IncidentState.RECOVERED, recovered=entry.time, release_at=None)


def _noted(incident: Incident, _: Entry) -> Incident:
    return incident


def _closed(incident: Incident, entry: Entry) -> Incident:
    held = [step.action for step in incident.steps if step.holds]
    if held and incident.state is not IncidentState.RECOVERED:
        raise _misfit(incident.id, entry, f"{', '.join(held)} still holds: release it first")
    false_alarm = entry.data["verdict"] == "false-alarm"
    state = IncidentState.FALSE_ALARM if false_alarm else IncidentState.CLOSED
    return replace(incident, state=state, release_at=None)


_CHANGES: Final[Mapping[EntryKind, Callable[[Incident, Entry], Incident]]] = {
    EntryKind.FOUND: _found,
    EntryKind.PLANNED: _planned,
    EntryKind.JUDGED: _judged,
    EntryKind.APPROVED: _approved,
    EntryKind.STARTED: _started,
    EntryKind.APPLIED: _applied,
    EntryKind.VERIFIED: _verified,
    EntryKind.FAILED: _failed,
    EntryKind.RELEASING: _releasing,
    EntryKind.UNDONE: _undone,
    EntryKind.RECOVERED: _recovered,
    EntryKind.NOTED: _noted,
    EntryKind.CLOSED: _closed,
}


def _step(incident: Incident, entry: Entry) -> Step:
    number = incident.step_number(entry.data["action"])
    if number is None:
        raise _misfit(incident.id, entry, f"its plan has no {entry.data['action']}")
    return incident.steps[number]


def _with_step(incident: Incident, entry: Entry, changed: Step) -> Incident:
    step = _step(incident, entry)
    if changed.state not in _FOLLOWS[step.state]:
        raise _misfit(incident.id, entry, f"{step.action} is {step.state}")
    steps = tuple(changed if one.action == step.action else one for one in incident.steps)
    return replace(incident, steps=steps)


def _moved(incident: Incident, entry: Entry, state: StepState) -> Incident:
    """Return `incident` with the entry's step in `state`, and the outcome that the entry names."""
    step = _step(incident, entry)
    return _with_step(
        incident, entry, replace(step, state=state, outcome=str(entry.data.get("outcome", "")))
    )


_FOLLOWS: Final = {
    StepState.PLANNED: {
        StepState.PLANNED, StepState.WAITING, StepState.STOPPED, StepState.STARTED,
    },
    StepState.WAITING: {StepState.WAITING, StepState.STOPPED, StepState.STARTED},
    StepState.STOPPED: {StepState.STOPPED, StepState.STARTED},
    StepState.STARTED: {StepState.STARTED, StepState.APPLIED, StepState.FAILED, StepState.UNDONE},
    StepState.APPLIED: {StepState.APPLIED, StepState.VERIFIED, StepState.FAILED, StepState.UNDONE},
    StepState.VERIFIED: {StepState.FAILED, StepState.UNDONE},
    StepState.FAILED: {StepState.STARTED, StepState.UNDONE},
    StepState.UNDONE: set[StepState](),
}  # fmt: skip


def render_finding(finding: Finding) -> dict[str, Any]:
    """Return the JSON values that `parse_finding` reads."""
    plain = asdict(finding)
    return plain | {one: list(plain[one]) for one in ("contributions", "evidence")}


def parse_finding(data: _Data) -> Finding:
    """Return the finding that `render_finding` wrote."""
    return Finding(
        **{
            **data,
            "severity": Severity(data["severity"]),
            "contributions": tuple(Contribution(**one) for one in data["contributions"]),
            "evidence": tuple(data["evidence"]),
        }
    )


def _misfit(incident_id: str, entry: Entry, why: str) -> StateError:
    return StateError(
        "incident.transition", f"incident {incident_id} takes no '{entry.kind}': {why}"
    )
