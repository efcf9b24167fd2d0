"""What every action is asked for. One suite of tests holds for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from meshwarden.response import Incident


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What applying an action came to: one sentence, and what undoing it will need.

    `undo` goes into the incident's record, which people read: names and places, never a secret.
    """

    outcome: str
    undo: Mapping[str, str] = field(default_factory=dict)


class Action(Protocol):
    """One kind of action, under its name in the catalogue.

    Each method may be called again after a crash: what has been done already is not done twice.
    They raise MeshwardenError where it does not work, nothing else. Who calls bounds their time.
    """

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        ...

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work on this suspect now; None where it can. Changes nothing."""
        ...

    async def apply(self, incident: Incident) -> Applied:
        """Do it."""
        ...

    async def probe(self, incident: Incident) -> str:
        """Return what shows that it holds; VerificationError where it does not."""
        ...

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Return what was undone; irreversible actions are never asked."""
        ...
