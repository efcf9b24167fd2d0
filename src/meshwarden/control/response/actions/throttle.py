"""Lets the suspect send only so many requests a second, at its own sidecar. Inverse: frees it.

For faint signs: what an attacker can carry away shrinks, and an innocent service goes on slowly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.kernel import VerificationError
from meshwarden.response import Incident

RATE_PER_S: Final = 5
"""Enough to notice that a service is alive; an upload in pieces takes hours at that rate. Less is a
quarantine that nobody called so, more hardly slows anybody down."""


@dataclass(kw_only=True)
class Throttle:
    """The action `throttle`."""

    name: ClassVar[str] = "throttle"
    scene: Scene

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work; None where it can."""
        return self.scene.why_unknown(incident)

    async def apply(self, incident: Incident) -> Applied:
        """Limit it."""
        self.scene.own.slowed(incident.suspect.identity)
        await self.scene.plane.throttling.limit(incident.suspect.service, RATE_PER_S)
        return Applied(outcome=f"at most {RATE_PER_S} requests a second")

    async def probe(self, incident: Incident) -> str:
        """Ask whether its sidecar has the limit."""
        service, throttling = incident.suspect.service, self.scene.plane.throttling
        if service not in throttling.rates():
            raise VerificationError("throttle.missing", f"{service} has no limit")
        if not await throttling.limit(service, RATE_PER_S):
            raise VerificationError("throttle.unconfirmed", f"{service} has not confirmed it")
        return f"the sidecar of {service} has confirmed the limit"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Take the limit away."""
        del undo
        await self.scene.plane.throttling.free(incident.suspect.service)
        self.scene.own.freed(incident.suspect.identity)
        return "no limit any more"
