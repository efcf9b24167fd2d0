"""Cuts one instance off in both directions, on open connections too. Inverse: lets it back in.

Both at once, since each holds where the other may not: the mesh (every peer's sidecar refuses its
identity and certificates, nobody is sent to it), and the network (its sidecar is down, and every
packet of its namespace is refused).
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.control.response.probing.network import verify_cut, verify_reached
from meshwarden.control.response.probing.persisting import persist
from meshwarden.kernel import DependencyError, MeshwardenError, VerificationError
from meshwarden.response import Incident


@dataclass(kw_only=True)
class Quarantine:
    """The action `quarantine`."""

    name: ClassVar[str] = "quarantine"
    scene: Scene

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work; None where it can."""
        return self.scene.why_unknown(incident)

    async def apply(self, incident: Incident) -> Applied:
        """Cut it off; what one of the two halves did not do is an error that names it."""
        scene, service = self.scene, incident.suspect.service
        await self._look_before(incident)
        instance = await scene.instance(incident)
        scene.own.went(incident.suspect.identity)
        network, late = await asyncio.gather(
            scene.driver.cut_network(instance),
            scene.plane.quarantine.put(service, awaited=_awaits(incident)),
            return_exceptions=True,
        )
        failed = [one for one in (network, late) if isinstance(one, BaseException)]
        for one in failed:
            if not isinstance(one, MeshwardenError):
                raise one
        if failed:
            raise DependencyError("quarantine.half", "; ".join(str(one) for one in failed))
        unconfirmed = f"; not confirmed by {', '.join(late)}" if late else ""  # type: ignore[arg-type]
        return Applied(
            outcome=f"{network}; its peers refuse it{unconfirmed}",
            undo={"instance": instance.name},
        )

    async def probe(self, incident: Incident) -> str:
        """Return what shows that it holds, within the time that the last peer may need."""
        return await persist(lambda: self._probe(incident))

    async def _probe(self, incident: Incident) -> str:
        """Try every way in and out, connections that were open, and its certificate elsewhere."""
        scene = self.scene
        instance, witness = await scene.instance(incident), scene.witnesses.get(incident.id)
        cut, *said = await asyncio.gather(
            scene.driver.network_is_cut(instance),
            asyncio.to_thread(verify_cut, scene.plane.layout, scene.around(incident), witness),
            *self._certificate_refused(incident),
        )
        if not cut:
            raise VerificationError("quarantine.leaks", "its network is not cut off")
        return "; ".join(map(str, said))

    def _certificate_refused(self, incident: Incident) -> list[Awaitable[str]]:
        scene = self.scene
        if incident.id not in scene.stolen:
            return []
        place = scene.elsewhere(incident)
        return [scene.verify_refused(incident, place=place, in_handshake=False)]

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Let it back in: peers first, so that its first calls are not refused."""
        scene, service = self.scene, incident.suspect.service
        await scene.plane.quarantine.lift(service)
        instance = await scene.instance(incident)
        running = await scene.driver.running(instance.service)
        if running == instance:
            await scene.forsake(incident)  # its sidecar was ended when it was cut off
            await scene.driver.restore_network(instance)
        late = await scene.plane.quarantine.arrived(service)  # its sidecar runs again, and is asked
        self._forget(incident)
        scene.own.came_back(incident.suspect.identity)
        around = scene.around(incident)
        reached = await asyncio.to_thread(verify_reached, scene.plane.layout, around)
        concerned = [one for one in late if one in {service, *around.callers, *around.callees}]
        unconfirmed = f"; not yet confirmed by {', '.join(concerned)}" if concerned else ""
        return f"{undo.get('instance', instance.name)} is let back in; {reached}{unconfirmed}"

    async def _look_before(self, incident: Incident) -> None:
        """Keep what later shows that nothing passes: open connections, the certificate it has."""
        scene = self.scene
        if incident.id in scene.witnesses:
            return
        svid = scene.plane.certificates.held(incident.suspect.service)
        if svid is not None:
            scene.stolen.setdefault(incident.id, svid)
        await scene.open_witness(incident)

    def _forget(self, incident: Incident) -> None:
        witness = self.scene.witnesses.pop(incident.id, None)
        if witness is not None:
            witness.close()
        self.scene.stolen.pop(incident.id, None)


def _awaits(incident: Incident) -> bool:
    """Return whether a clean instance follows by itself, so that callers may wait for it."""
    number = incident.step_number("replace")
    return number is not None and incident.steps[number].approvals == 0
