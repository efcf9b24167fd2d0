"""The incidents of this mesh, in memory as their records say, and the way to write to them.

An entry is durable before what it announces is done, and the incident changes only with it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from meshwarden.adapters.storage.incidents import IncidentStore
from meshwarden.control.response.deciding import Deciding
from meshwarden.kernel import Clock, InputError
from meshwarden.response import WARDEN, Entry, EntryKind, Incident, advance, append, fold

_log = structlog.get_logger()


@dataclass(kw_only=True)
class Records:
    """All incidents.

    Attributes:
        store: where the records are.
        clock: the time of day.
        deciding: the guard rails; its turn is held by whoever writes.
        announce: told each entry that is on record, and the incident after it.
        incidents: by id, as their records say.
    """

    store: IncidentStore
    clock: Clock
    deciding: Deciding
    announce: Callable[[Incident, Entry], None] = lambda _incident, _entry: None
    incidents: dict[str, Incident] = field(default_factory=dict)
    _last: dict[str, Entry] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> int:
        """Return the time of day in nanoseconds since the epoch."""
        return int(self.clock.now().timestamp() * 1e9)

    def load(self) -> None:
        """Read every record: what was begun before goes on."""
        for incident_id in self.store.incident_ids():
            for entry in self._read(incident_id):
                self.deciding.note(entry)

    def reread(self, incident_id: str) -> None:
        """Read one record again: somebody else wrote to it."""
        self._read(incident_id)

    def get(self, incident_id: str) -> Incident:
        """Return an incident; InputError `incident.unknown` where there is none of that id."""
        if incident_id not in self.incidents:
            raise InputError(
                "incident.unknown", f"no incident is called {incident_id[:80]!r}", where="request"
            )
        return self.incidents[incident_id]

    async def write(
        self,
        incident_id: str,
        kind: EntryKind,
        actor: str = WARDEN,
        data: Mapping[str, Any] | None = None,
    ) -> Incident:
        """Put an entry on record; durable when this returns. The caller holds the turn.

        Raises:
            StateError: `incident.transition` where it does not fit, `incident.taken` where another
                controller wrote meanwhile.
            DependencyError: where it cannot be written.
        """
        before = self._last.get(incident_id)
        entry = append(before, time=self.now(), kind=kind, actor=actor, data=data)
        changed = advance(self.incidents.get(incident_id), entry, incident_id=incident_id)
        await asyncio.to_thread(self.store.append_entry, incident_id, entry)
        self._last[incident_id] = entry
        self.incidents[incident_id] = changed
        self.deciding.note(entry)
        changes, self._changed = self._changed, asyncio.Event()
        changes.set()
        action = entry.data.get("action")
        _log.info("incident", id=incident_id, kind=kind.value, actor=actor, action=action)
        self.announce(changed, entry)
        return changed

    async def write_step(
        self, incident_id: str, kind: EntryKind, action: str, **data: object
    ) -> Incident:
        """Put what came of a step on record."""
        async with self.deciding.turn:
            return await self.write(incident_id, kind, data={"action": action, **data})

    async def until(self, incident_id: str, reached: Callable[[Incident], bool]) -> Incident:
        """Return the incident once `reached` says so of it."""
        while not reached(incident := self.incidents[incident_id]):
            await self._changed.wait()
        return incident

    def _read(self, incident_id: str) -> list[Entry]:
        record = self.store.load_record(incident_id)
        self.incidents[incident_id] = fold(record, incident_id=incident_id)
        self._last[incident_id] = record[-1]
        return record
