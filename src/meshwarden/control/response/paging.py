"""Calls people: a finding where a response waits for them, was stopped, or did not work.

One for each incident and kind, however many of its steps are concerned: a flood of findings must
not become a flood of pages. Findings leave by every outlet that the mesh has.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from meshwarden.kernel import Finding, Severity
from meshwarden.response import CATALOGUE, Entry, EntryKind, Incident, Reach

MAX_KNOWN: Final = 10_000


@dataclass(kw_only=True)
class Pager:
    """Tells by `tell`; remembers what it has told of the newest `MAX_KNOWN` incidents."""

    tell: Callable[[Finding], None]
    _told: dict[tuple[str, str], None] = field(default_factory=dict)

    def announce(self, incident: Incident, entry: Entry) -> None:
        """Tell people where `entry` needs them."""
        kind = _kind_of(entry)
        if kind is None or (incident.id, kind) in self._told:
            return
        self._told[incident.id, kind] = None
        while len(self._told) > MAX_KNOWN:
            self._told.pop(next(iter(self._told)))
        self.tell(_page(incident, entry, kind))


def _kind_of(entry: Entry) -> str | None:
    if entry.kind is EntryKind.JUDGED:
        return "response.stopped" if entry.data["stopped"] else "response.waiting"
    touches = CATALOGUE[entry.data["action"]].reach if "action" in entry.data else Reach.NOTHING
    if entry.kind is EntryKind.FAILED and touches is not Reach.NOTHING:
        return "response.failed"
    return None


def _page(incident: Incident, entry: Entry, kind: str) -> Finding:
    action, service = entry.data["action"], incident.suspect.service
    why = entry.data.get("reason") or entry.data.get("outcome", "")
    what = {
        "response.waiting": f"waits for approval to {action} {service}: {why}",
        "response.stopped": f"was stopped before {action} of {service}: {why}",
        "response.failed": f"could not {action} {service}: {why}",
    }[kind]
    return Finding(
        time=entry.time,
        code=kind,
        subject=incident.suspect.identity,
        severity=Severity.CRITICAL,
        sentence=f"Incident {incident.id} {what}; look at `meshwarden incident show {incident.id}`",
        evidence=(f"incident {incident.id}",),
    )
