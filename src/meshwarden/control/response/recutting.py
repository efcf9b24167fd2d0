"""Suspects that are still there after everything was started anew, cut off again.

Who is in quarantine is refused by its peers from the start (`suspecting.isolated_by`). What its
supervisor did went with that supervisor: the sidecar of a container that is still the suspect runs
again, with its ways out of the mesh. It is taken down as soon as the mesh is up: a supervisor whose
services never become healthy would give up.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from meshwarden.control.response.suspecting import isolated_by
from meshwarden.kernel import MeshwardenError
from meshwarden.response import Driver, Incident, IncidentState, Instance

LOOK_S: Final = 1.0
"""Between two looks, both of which have to find it healthy: its supervisor looks more often."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recutting:
    """Cuts off again who must be, by `driver`; `incidents` are all that are known."""

    driver: Driver
    incidents: Callable[[], Iterable[Incident]]

    async def run(self) -> None:
        """Return once all that are in quarantine now, and are the very instances, are cut off."""
        suspects = [one for one in self.incidents() if isolated_by([one])]
        await asyncio.gather(*(self._follow(one) for one in suspects))

    async def _follow(self, incident: Incident) -> None:
        suspect = incident.suspect
        if suspect.instance is None:
            return
        instance, healthy = Instance(service=suspect.service, name=suspect.instance), 0
        while self._is_still(incident):
            try:
                if await self.driver.running(suspect.service) != instance:
                    return
                if await self.driver.network_is_cut(instance):
                    return
                healthy = healthy + 1 if await self.driver.healthy(instance) else 0
                if healthy > 1 and self._is_still(incident):
                    said = await self.driver.cut_network(instance)
                    _log.warning("cut_off_again", incident=incident.id, outcome=said)
                    return
            except MeshwardenError as error:  # it is just being started
                _log.info("not_cut_off_yet", incident=incident.id, error=str(error))
            await asyncio.sleep(LOOK_S)

    def _is_still(self, incident: Incident) -> bool:
        now = next((one for one in self.incidents() if one.id == incident.id), incident)
        return now.state is not IncidentState.RECOVERING and bool(isolated_by([now]))
