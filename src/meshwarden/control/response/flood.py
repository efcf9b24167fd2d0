"""Findings beyond those that an incident keeps: counted, and on record each time they have doubled.

Whoever can have findings raised must not be able to fill the disk with them. What is not yet on
record when this process ends is lost to the count alone.
"""

from dataclasses import dataclass, field

from meshwarden.response import MAX_FINDINGS, Incident


@dataclass(slots=True)
class Flood:
    """Counts by incident."""

    _waiting: dict[str, int] = field(default_factory=dict)

    def due(self, incident: Incident) -> int:
        """Count one more finding; return how many the entry for it stands for, 0: none is due."""
        if len(incident.findings) < MAX_FINDINGS:
            return 1
        count = self._waiting.get(incident.id, 0) + 1
        if count <= incident.more_findings:
            self._waiting[incident.id] = count
            return 0
        self._waiting.pop(incident.id, None)
        return count
