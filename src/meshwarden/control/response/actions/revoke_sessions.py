"""Ends the sessions whose tokens the suspect held or carried since the first sign. Irreversible.

Which they are is what the record of calls says: every call that it made or took carries the hashed
session of its token. Every hop refuses their tokens from then on, and receivers of our signals are
told (CAEP session-revoked).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.storage.calls import load_calls
from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.kernel import VerificationError
from meshwarden.response import Incident
from meshwarden.tokens import RevokedKind

MOST: Final = 1000
"""Sessions that one incident ends. More than that is a decision about the business: a person's."""


@dataclass(kw_only=True)
class RevokeSessions:
    """The action `revoke-sessions`."""

    name: ClassVar[str] = "revoke-sessions"
    scene: Scene

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work; None where it can."""
        return self.scene.why_unknown(incident)

    async def apply(self, incident: Incident) -> Applied:
        """Revoke them, one after the other."""
        tokens = self.scene.plane.tokens
        if tokens is None:
            return Applied(outcome="this mesh issues no tokens: there is nothing to revoke")
        sessions = await self._sessions(incident)
        for session in sessions[:MOST]:
            await tokens.revoke(RevokedKind.SESSION, session, reason=f"incident {incident.id}")
        left = len(sessions) - MOST
        more = f"; {left} more were left: end them by hand" if left > 0 else ""
        return Applied(outcome=f"{min(len(sessions), MOST)} sessions ended{more}")

    async def probe(self, incident: Incident) -> str:
        """Ask what every hop refuses now."""
        tokens = self.scene.plane.tokens
        if tokens is None:
            return "no token exists that could be refused"
        contained = tokens.contained().get(RevokedKind.SESSION, frozenset())
        sessions = set((await self._sessions(incident))[:MOST])
        if missing := sessions - contained:
            raise VerificationError("sessions.left", f"{len(missing)} sessions go on")
        return f"{len(sessions)} sessions are refused at every hop"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Return that it cannot be undone."""
        del incident, undo
        return "customers sign in again"

    async def _sessions(self, incident: Incident) -> list[str]:
        plane = self.scene.plane
        await plane.recorder.flush()
        calls = await asyncio.to_thread(lambda: load_calls([plane.layout.calls_dir]).table)
        return sessions_of(
            calls, incident.suspect.identity, since=incident.first_call or incident.opened
        )


def sessions_of(calls: pa.Table, identity: str, *, since: int) -> list[str]:
    """Return the sessions of calls that `identity` made or took since `since`, sorted."""
    touched = pc.or_kleene(
        pc.equal(calls["source"].cast(pa.string()), identity),
        pc.equal(calls["destination"].cast(pa.string()), identity),
    )
    recent = pc.greater_equal(calls["time"].cast(pa.int64()), since)
    found = calls.filter(pc.and_kleene(touched, recent))["session"].cast(pa.string())
    return sorted(one for one in pc.unique(found).to_pylist() if one)
