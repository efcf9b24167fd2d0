"""Makes every certificate that the suspect holds worthless. Irreversible.

Where the incident is about a certificate alone (used by a thief, from a place that is not the
instance's), only that one is revoked, and the service itself goes on with a fresh one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.control.response.probing.persisting import persist
from meshwarden.kernel import InputError, VerificationError
from meshwarden.response import Incident


@dataclass(kw_only=True)
class RevokeSvid:
    """The action `revoke-svid`."""

    name: ClassVar[str] = "revoke-svid"
    scene: Scene

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work; None where it can."""
        return self.scene.why_unknown(incident)

    async def apply(self, incident: Incident) -> Applied:
        """Revoke what names the suspect's identity; nothing new is given to it."""
        try:
            revoked = await self.scene.plane.revoker.revoke(
                incident.suspect.identity, reason=f"incident {incident.id}", replace=False
            )
        except InputError as error:
            if error.code != "identity.unknown_certificate":
                raise
            await self.scene.plane.revoker.end_tokens(
                incident.suspect.identity, reason=f"incident {incident.id}"
            )
            return Applied(outcome="no certificate that is still valid names it; its tokens ended")
        late = [one for one in revoked.pending if self._is_peer(incident, one)]
        said = f"{len(revoked.certificates)} certificates revoked in {revoked.enforced_ms:.0f} ms"
        return Applied(outcome=said + (f"; not confirmed by {', '.join(late)}" if late else ""))

    async def probe(self, incident: Incident) -> str:
        """Return what shows that it holds, within the time that the last peer may need."""
        return await persist(lambda: self._probe(incident))

    async def _probe(self, incident: Incident) -> str:
        """Show the certificate that it had to its peers; without its key, look in the register."""
        scene = self.scene
        if incident.id not in scene.stolen:
            return self._in_register(incident)
        return await scene.verify_refused(
            incident, place=scene.elsewhere(incident), in_handshake=True
        )

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Return that it cannot be undone."""
        del incident, undo
        return "a revoked certificate stays revoked"

    def _in_register(self, incident: Incident) -> str:
        register = self.scene.plane.identities.register
        live = register.live(now=self.scene.plane.clock.now())
        left = [
            one.sha256
            for one in live
            if one.identity == incident.suspect.identity
            and one.sha256 not in register.revoked
            and one.time.timestamp() * 1e9 <= incident.opened
        ]
        if left:
            raise VerificationError("certificate.accepted", f"{len(left)} are not revoked")
        return "all certificates from before are in the revocation lists"

    def _is_peer(self, incident: Incident, name: str) -> bool:
        return name != incident.suspect.service and self.scene.plane.enforcer.server.connected(name)
