"""What every action has before it: the running mesh, its driver, and the suspect in both."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from meshwarden.control.plane import ControlPlane
from meshwarden.control.response.own_doing import OwnDoing
from meshwarden.control.response.probing.certificate import questions_for, verify_refused
from meshwarden.control.response.probing.neighbourhood import Neighbourhood, neighbourhood_of
from meshwarden.control.response.probing.witness import Witness, open_witness
from meshwarden.identity import Svid
from meshwarden.kernel import StateError
from meshwarden.response import Driver, Incident, Instance


@dataclass(kw_only=True)
class Scene:
    """The scene of all incidents of one mesh.

    Attributes:
        own: what of the recorded calls is our own doing.
        plane: its control plane.
        driver: of the place where its workloads run.
        evidence: directory of archives.
        witnesses: connections that were open before a suspect was cut off, by incident.
        stolen: the certificate and key that a suspect had, by incident: what a thief may hold. In
            memory alone; a control plane that starts again has them no more.
    """

    plane: ControlPlane
    driver: Driver
    evidence: Path
    witnesses: dict[str, Witness] = field(default_factory=dict)
    stolen: dict[str, Svid] = field(default_factory=dict)
    own: OwnDoing = field(init=False)

    def __post_init__(self) -> None:
        self.own = OwnDoing(clock=self.plane.clock)

    async def verify_refused(self, incident: Incident, *, place: str, in_handshake: bool) -> str:
        """Return what shows that what a thief may hold of the suspect's is refused by its peers.

        Arguments and errors as `probing.certificate.verify_refused`; the key must be there.
        """
        svid, plane = self.stolen[incident.id], self.plane
        callees = self.around(incident).callees
        self.own.shows(svid)
        return await asyncio.to_thread(
            verify_refused,
            plane.layout,
            svid,
            questions_for(plane.published.policy, svid.identity, callees),
            place=place,
            in_handshake=in_handshake,
        )

    async def open_witness(self, incident: Incident) -> None:
        """Keep connections that are open before the suspect is cut off, where there can be any."""
        since, around = self.own.now(), self.around(incident)
        witness = await asyncio.to_thread(open_witness, self.plane.layout, around)
        if witness is not None:
            self.witnesses[incident.id] = witness
            for end in (witness.out, witness.back):
                self.own.opened(end.getsockname(), since=since)

    async def instance(self, incident: Incident) -> Instance:
        """Return the instance that `incident` is about, also where it has been replaced.

        Raises:
            StateError: `driver.gone` where none is known and none is there.
        """
        suspect = incident.suspect
        if suspect.instance is not None:
            return Instance(service=suspect.service, name=suspect.instance)
        running = await self.driver.running(suspect.service)
        if running is None:
            raise StateError("driver.gone", f"no instance of {suspect.service} is known")
        return running

    def around(self, incident: Incident) -> Neighbourhood:
        """Return whom the suspect may meet."""
        return neighbourhood_of(incident.suspect.service, self.plane.published.sidecars)

    def why_unknown(self, incident: Incident) -> str | None:
        """Return why nothing can be done about the suspect; None where something can."""
        service = incident.suspect.service
        if service not in self.plane.published.sidecars:
            return f"{service} is no service of this mesh"
        return None

    async def forsake(self, incident: Incident) -> str:
        """Have its peers end what they have open with the suspect, which has ended; in words."""
        plane, service = self.plane, incident.suspect.service
        severed = await plane.revoker.severing.forsake(service, plane.mesh.services)
        failed = f", not those of {', '.join(severed.failed)}" if severed.failed else ""
        return f"{severed.connections} connections that peers had with it ended{failed}"

    def elsewhere(self, incident: Incident) -> str:
        """Return a service whose place is not the suspect's: where a thief could stand."""
        names = [*self.around(incident).callees, *self.plane.mesh.services]
        held = self.plane.quarantine.services()
        return next(one for one in names if one != incident.suspect.service and one not in held)
