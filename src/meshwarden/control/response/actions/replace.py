"""Ends the suspect and starts a clean instance in its place, with a certificate of its own.

Irreversible. Steps:

1. End every process of the suspect; its network stays cut. End what peers have open with it.
2. Issue a fresh certificate. What the suspect held is revoked by now (`requires`). Where all was
   started anew meanwhile, the certificate from then does not count either.
3. Let the identity back in at its peers: nobody holds a certificate for it but the new instance,
   which is not slowed down for what the old one did.
4. Let the network in, start sidecar and service, and wait until both serve.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from meshwarden.control.response.action import Applied
from meshwarden.control.response.actions.scene import Scene
from meshwarden.control.response.probing.network import verify_reached
from meshwarden.control.response.probing.persisting import persist
from meshwarden.kernel import StateError, VerificationError
from meshwarden.response import Incident, Instance

HEALTHY_S: Final = 45.0


@dataclass(kw_only=True)
class Replace:
    """The action `replace`."""

    name: ClassVar[str] = "replace"
    scene: Scene

    async def check(self, incident: Incident) -> str | None:
        """Return why it cannot work; None where it can."""
        if (why := self.scene.why_unknown(incident)) is not None:
            return why
        if await self.scene.driver.running(incident.suspect.service) is None:
            return f"nobody here starts {incident.suspect.service}"
        return None

    async def apply(self, incident: Incident) -> Applied:
        """Go through the steps; what was done before a crash is not done twice."""
        scene, plane = self.scene, self.scene.plane
        service, instance = incident.suspect.service, await scene.instance(incident)
        if there := await scene.driver.running(service) == instance:
            await scene.driver.stop(instance)  # 1
        forsaken = await scene.forsake(incident) if there else "it was gone by then"
        if there or service in plane.identities.register.withheld:
            await plane.revoker.reissue(service)  # 2
        await plane.quarantine.lift(service)  # 3
        if service in plane.throttling.rates():
            await plane.throttling.free(service)
        try:
            fresh = await scene.driver.replace(instance, timeout_s=HEALTHY_S)  # 4
        finally:
            await plane.quarantine.arrived(service)
        scene.own.came_back(incident.suspect.identity)
        served = f"{fresh.name} serves in the place of {instance.name}"
        return Applied(outcome=f"{served}; {forsaken}")

    async def probe(self, incident: Incident) -> str:
        """Return what shows that it holds, within the time that the last peer may need."""
        return await persist(lambda: self._probe(incident))

    async def _probe(self, incident: Incident) -> str:
        """Ask whether the new one serves, and whether the old key is still refused."""
        scene, service = self.scene, incident.suspect.service
        fresh = await scene.driver.running(service)
        if fresh is None or fresh == await scene.instance(incident):
            raise VerificationError("replace.missing", "no other instance is there")
        await verify_serves(scene, incident, fresh)
        if incident.id not in scene.stolen:
            return f"{fresh.name} serves"
        refused = await scene.verify_refused(incident, place=service, in_handshake=True)
        return f"{fresh.name} serves; the old {refused}"

    async def undo(self, incident: Incident, undo: Mapping[str, str]) -> str:
        """Return that it cannot be undone."""
        del incident, undo
        return "the clean instance stays"


async def verify_serves(scene: Scene, incident: Incident, instance: Instance) -> str:
    """Return what shows that `instance` serves its peers; VerificationError where it does not."""
    try:
        healthy = await scene.driver.healthy(instance)
    except StateError as error:
        raise VerificationError("recovery.gone", str(error)) from error
    if not healthy:
        raise VerificationError("recovery.unhealthy", f"{instance.name} does not serve")
    return await asyncio.to_thread(verify_reached, scene.plane.layout, scene.around(incident))


async def verify_recovered(scene: Scene, incident: Incident) -> str:
    """Return what shows that the suspect's service serves again, whichever instance it is now."""
    running = await scene.driver.running(incident.suspect.service)
    if running is None:
        raise VerificationError("recovery.gone", f"{incident.suspect.service} is not there")
    return f"{running.name} serves; {await verify_serves(scene, incident, running)}"
