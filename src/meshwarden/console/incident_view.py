"""Incidents as JSON values: times as RFC 3339 in UTC, the record entry by entry."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from meshwarden.response import Entry, Foreseen, GuardRails, Incident, Touched, phase_of


def stamp(time: int | None) -> str | None:
    """Return nanoseconds since the epoch as RFC 3339; None where there is no time."""
    if time is None:
        return None
    seconds, rest = divmod(time, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def incident_object(incident: Incident) -> dict[str, Any]:
    """Return one incident, its record left out."""
    suspect = incident.suspect
    return {
        "id": incident.id,
        "service": suspect.service,
        "identity": suspect.identity,
        "instance": suspect.instance,
        "state": incident.state.value,
        "probability": incident.probability,
        "phase": phase_of(incident.findings),
        "findings": len(incident.findings) + incident.more_findings,
        "sentences": [one.sentence for one in incident.findings[:10]],
        "playbook": incident.playbook,
        "steps": [
            {
                "action": step.action,
                "state": step.state.value,
                "approvers": sorted(step.approvers),
                "outcome": step.outcome,
            }
            for step in incident.steps
        ],
        "opened": stamp(incident.opened),
        "first_call": stamp(incident.first_call),
        "contained": stamp(incident.contained),
        "verified": stamp(incident.verified),
        "recovered": stamp(incident.recovered),
        "release_at": stamp(incident.release_at),
        "evidence": evidence_of(incident),
    }


def evidence_of(incident: Incident) -> dict[str, str] | None:
    """Return where the archive of evidence is, with key and digest; None where there is none."""
    number = incident.step_number("snapshot")
    kept = {} if number is None else incident.steps[number].undo
    return dict(kept) if "archive" in kept else None


def entry_object(entry: Entry) -> dict[str, Any]:
    """Return one entry of a record."""
    return {
        "number": entry.number,
        "time": stamp(entry.time),
        "kind": entry.kind.value,
        "actor": entry.actor,
        "data": dict(entry.data),
        "hash": entry.hash,
    }


def touched_objects(touched: Iterable[Touched]) -> list[dict[str, Any]]:
    """Return what a suspect reached."""
    return [
        {
            "destination": one.destination,
            "method": one.method,
            "route": one.route,
            "calls": one.calls,
            "denied": one.denied,
            "sent_bytes": one.sent_bytes,
            "received_bytes": one.received_bytes,
            "first": stamp(one.first),
            "last": stamp(one.last),
        }
        for one in touched
    ]


def foreseen_objects(foreseen: Iterable[Foreseen]) -> list[dict[str, str]]:
    """Return the lines of a simulation."""
    return [
        {"action": one.action, "outcome": one.outcome, "reason": one.reason} for one in foreseen
    ]


def rails_object(rails: GuardRails) -> dict[str, Any]:
    """Return the limits."""
    return {
        "max_contained": rails.max_contained,
        "max_share": rails.max_share,
        "last_instance_tiers": sorted(rails.last_instance_tiers),
        "last_edge_instance": rails.last_edge_instance,
        "max_actions_per_hour": rails.max_actions_per_hour,
        "protected": sorted(rails.protected),
        "two_people": sorted(rails.two_people),
    }
