"""Which playbook is followed, and what it would do: decided and simulated on values alone."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from meshwarden.response.advance import advance
from meshwarden.response.guards import GuardRails, ServiceFacts, Verdict, World, judge
from meshwarden.response.model import Incident
from meshwarden.response.next_move import Apply, Judge, Move, Probe, Record, Wait, next_move
from meshwarden.response.playbook import Playbook
from meshwarden.response.record import WARDEN, Entry, EntryKind, append


def choose(
    incident: Incident, playbooks: Iterable[Playbook], *, tier: int | None
) -> Playbook | None:
    """Return the first of `playbooks` that applies; the caller's order is the preference."""
    return next((one for one in playbooks if one.applies_to(incident, tier=tier)), None)


def plan_data(playbook: Playbook) -> dict[str, Any]:
    """Return the data of the PLANNED entry for `playbook`."""
    return {
        "playbook": playbook.name,
        "time_box_s": playbook.time_box_s,
        "steps": [asdict(step) for step in playbook.steps],
    }


def judging_for(incident: Incident, world: World, rails: GuardRails) -> Judge:
    """Return what asks the guard rails about each action on the suspect of `incident`."""

    def _judge(action: str) -> Verdict:
        return judge(
            action,
            incident.suspect,
            world,
            rails,
            automatic=is_automatic(incident, action),
            already_contained=incident.contained is not None,
        )

    return _judge


def is_automatic(incident: Incident, action: str) -> bool:
    """Return whether nobody has asked for, or approved, that action."""
    number = incident.step_number(action)
    return number is None or not incident.steps[number].approvers


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """One line of a simulation: the action, what would happen to it, and why where it would not."""

    action: str
    outcome: str
    reason: str = ""


def simulate(
    incident: Incident, playbook: Playbook, world: World, rails: GuardRails, *, now: int
) -> tuple[Foreseen, ...]:
    """Return what following `playbook` would do to `incident` now, if every action worked.

    Runs the very decisions of a real response, on a record that nobody keeps.
    """
    entry = _next(incident, EntryKind.PLANNED, plan_data(playbook), now)
    imagined = advance(incident, entry, incident_id=incident.id)
    foreseen: list[Foreseen] = []
    for _ in range(4 * len(imagined.steps) + 4):
        judging = judging_for(imagined, world, rails)
        move = next_move(imagined, now=now, judge=judging)
        if isinstance(move, Wait):
            break
        entries, line = _imagine(imagined, move, now)
        foreseen += line
        for one in entries:
            imagined = advance(imagined, one, incident_id=imagined.id)
    return tuple(foreseen)


def _imagine(incident: Incident, move: Move, now: int) -> tuple[list[Entry], list[Foreseen]]:
    if isinstance(move, Record):
        verdict = move.verdict
        data = {"action": move.action, "stopped": verdict.stopped, "reason": verdict.reason}
        outcome = "stopped" if verdict.stopped else "waits for approval"
        line = Foreseen(action=move.action, outcome=outcome, reason=verdict.reason)
        return [_next(incident, EntryKind.JUDGED, data, now)], [line]
    if isinstance(move, Apply):
        started = _next(incident, EntryKind.STARTED, {"action": move.action}, now)
        done = {"action": move.action, "outcome": ""}
        applied = append(started, time=now, kind=EntryKind.APPLIED, data=done)
        return [started, applied], [Foreseen(action=move.action, outcome="would be done")]
    if isinstance(move, Probe):
        data = {"action": move.action, "outcome": ""}
        return [_next(incident, EntryKind.VERIFIED, data, now)], []
    return [_next(incident, EntryKind.RECOVERED, {}, now)], []


def _next(incident: Incident, kind: EntryKind, data: dict[str, Any], now: int) -> Entry:
    """Return an entry that follows the incident's; its chain is nobody's."""
    return replace(
        append(None, time=now, kind=kind, actor=WARDEN, data=data), number=incident.entries
    )


def world_of(
    services: Mapping[str, ServiceFacts],
    incidents: Iterable[Incident],
    *,
    actions_last_hour: int,
    warden: frozenset[str],
) -> World:
    """Return the world with what the open `incidents` contain counted in."""
    facts = dict(services)
    contained = 0
    for incident in incidents:
        if not incident.cut_off:
            continue
        contained += 1
        name = incident.suspect.service
        if name in facts:
            facts[name] = replace(facts[name], contained=facts[name].contained + 1)
    return World(
        services=facts,
        contained=contained,
        actions_last_hour=actions_last_hour,
        warden=warden,
    )
