"""What comes next in an incident: one move, decided from the record alone.

The controller asks, carries the move out, appends what came of it, and asks again. One that was
killed in between asks the same question and gets the same answer: a step that was started and
not ended is applied again (actions are idempotent). Steps are taken in order, one at a time; a
step that a guard rail stopped, or that failed, does not keep later ones from being tried, but for
those that require it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from meshwarden.response.catalogue import CATALOGUE
from meshwarden.response.guards import Verdict
from meshwarden.response.model import Incident, IncidentState, Step, StepState


@dataclass(frozen=True, slots=True)
class Apply:
    """Carry out `action`; append STARTED before, APPLIED or FAILED after."""

    action: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Show that `action` worked; append VERIFIED or FAILED."""

    action: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo `action`; append UNDONE."""

    action: str


@dataclass(frozen=True, slots=True)
class Record:
    """Append JUDGED for `action` with `verdict`: it waits, or is stopped."""

    action: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Release:
    """Append RELEASING with `reason`: the time box is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recover:
    """Show that the service is well again; append RECOVERED."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until `until` (nanoseconds) or the next entry; None = until the next entry."""

    until: int | None = None


Move = Apply | Probe | Undo | Record | Release | Recover | Wait
Judge = Callable[[str], Verdict]


def next_move(incident: Incident, *, now: int, judge: Judge) -> Move:
    """Return the move that `incident` needs at `now`.

    Args:
        incident: as its record says.
        now: nanoseconds since the epoch, UTC.
        judge: what the guard rails say about carrying out an action on its suspect now.
    """
    if incident.state.ended or incident.state is IncidentState.RECOVERED:
        return Wait()
    if _releasing(incident):
        return _undo_last(incident)
    if (
        incident.release_at is not None
        and now >= incident.release_at
        and any(step.holds for step in incident.steps)
    ):
        return Release("the time box is over")
    for step in incident.steps:
        move = _for_step(incident, step, judge)
        if move is not None:
            return move
    if _replaced(incident):
        return Recover()
    return Wait(incident.release_at if any(step.holds for step in incident.steps) else None)


def _for_step(incident: Incident, step: Step, judge: Judge) -> Move | None:
    """Return the move for one step; None where the plan goes on to the next."""
    if step.state is StepState.STARTED:
        return Apply(step.action)
    if step.state is StepState.APPLIED:
        return Probe(step.action)
    if step.state.settled or not _requirements_hold(incident, step):
        return None
    verdict = judge(step.action)
    if verdict.stopped:
        return Record(step.action, verdict)
    if len(step.approvers) < max(step.approvals, verdict.approvals):
        return None if step.state is StepState.WAITING else Record(step.action, verdict)
    return Apply(step.action)


def _requirements_hold(incident: Incident, step: Step) -> bool:
    held = {one.action for one in incident.steps if one.state is StepState.VERIFIED}
    return all(needed in held for needed in CATALOGUE[step.action].requires)


def _releasing(incident: Incident) -> bool:
    """Whether it is being let back, rather than recovering by a replacement."""
    return incident.state is IncidentState.RECOVERING and incident.release_at is None


def _undo_last(incident: Incident) -> Move:
    for step in reversed(incident.steps):
        if step.state.in_force and CATALOGUE[step.action].reversible:
            return Undo(step.action)
    return Recover()


def _replaced(incident: Incident) -> bool:
    return incident.replaced and incident.state is IncidentState.RECOVERING
