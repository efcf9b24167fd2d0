"""Tells people and other systems: a finding about the incident, which leaves by every outlet.

Outlets are those of the mesh (`--webhook`, signed, in OCSF; `--syslog`, `--ocsf`); they send what
the store of findings has, at least once. Inverse: another that says that it is released.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.kernel import Finding, Severity, VerificationError
from meshwarden.response import Incident


@dataclass(kw_only=True)
class Notify:
    """The action `notify`."""

    name: ClassVar[str] = "notify"
    scene: Scene

    async def check(self, incident: Incident) -> str | None:
        """Return None: telling always works, delivery is the outlets'."""
        del incident
        return None

    async def apply(self, incident: Incident) -> Applied:
        """Tell of the suspicion."""
        sentence = (
            f"Incident {incident.id}: {incident.suspect.identity} is suspected to be compromised"
            f" (probability {incident.probability:.3g}); look at `meshwarden incident show"
            f" {incident.id}`"
        )
        self._tell(incident, sentence)
        return Applied(outcome="told, to every outlet of the mesh")

    async def probe(self, incident: Incident) -> str:
        """Ask whether it is in the store, from which the outlets send."""
        del incident
        if self.scene.plane.teller.waits:
            raise VerificationError("notify.waiting", "the store of findings does not take it")
        return "it is in the store, from which every outlet sends it"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Tell that it is over."""
        del undo
        who = incident.suspect.identity
        self._tell(incident, f"Incident {incident.id}: {who} was released")
        return "told that it is released"

    def _tell(self, incident: Incident, sentence: str) -> None:
        plane = self.scene.plane
        plane.teller.tell(
            Finding(
                time=int(plane.clock.now().timestamp() * 1_000_000) * 1000,
                code="response.notified",
                subject=incident.suspect.identity,
                severity=Severity.HIGH,
                sentence=sentence,
                evidence=(f"incident {incident.id}",),
            )
        )
