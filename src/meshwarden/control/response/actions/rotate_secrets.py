"""Replaces the secrets that the suspect could read, with overlap for healthy peers. Irreversible.

What is replaced, and how, the mesh file says for each service: files, users of databases, commands.
One that fails does not keep the others from being replaced; it is named, and the step fails.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.kernel import DependencyError, MeshwardenError, StateError
from meshwarden.response import Incident, Rotation


@dataclass(kw_only=True)
class RotateSecrets:
    """The action `rotate-secrets`; `rotations` by service."""

    name: ClassVar[str] = "rotate-secrets"
    scene: Scene
    rotations: Mapping[str, Sequence[Rotation]]

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work; None where at least one secret can be replaced."""
        if (why := self.scene.why_unknown(incident)) is not None:
            return why
        said = [await one.check() for one in self._secrets(incident)]
        return "; ".join(filter(None, said)) if said and all(said) else None

    async def apply(self, incident: Incident) -> Applied:
        """Put new ones in force, side by side; the old ones stay good for their overlaps."""
        secrets = self._secrets(incident)
        if not secrets:
            return Applied(outcome="the mesh file names no secret of this service")
        await _all(one.rotate(incident.id) for one in secrets)
        return Applied(outcome=f"replaced: {', '.join(one.name for one in secrets)}")

    async def probe(self, incident: Incident) -> str:
        """Wait until the overlaps are over; return what shows that the old ones are worthless."""
        said = await _all(one.settle(incident.id) for one in self._secrets(incident))
        return "; ".join(map(str, said)) or "there was nothing to replace"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Never asked: an old secret does not come back."""
        del undo
        raise StateError("rotate.irreversible", f"{incident.id}: a secret is not brought back")

    def _secrets(self, incident: Incident) -> Sequence[Rotation]:
        return self.rotations.get(incident.suspect.service, ())


async def _all(doing: Iterable[Awaitable[object]]) -> list[object]:
    """Return what all came to; what one of them raises is raised after all have ended."""
    ended = await asyncio.gather(*doing, return_exceptions=True)
    failed = [one for one in ended if isinstance(one, BaseException)]
    for one in failed:
        if not isinstance(one, MeshwardenError):
            raise one
    if failed:
        raise DependencyError("rotate.half", "; ".join(map(str, failed)))
    return list(ended)
