"""What every action has before it: the running mesh, its driver, and the suspect in both."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.control.plane import ControlPlane
from meshwarden.control.response.probing.certificate import questions_for, verify_refused
from meshwarden.control.response.probing.neighbourhood import Neighbourhood, neighbourhood_of
from meshwarden.control.response.probing.witness import Witness
from meshwarden.identity import Svid
from meshwarden.kernel import StateError
from meshwarden.response import Driver, Incident, Instance

MAX_SHOWN: Final = 200
_SLACK: Final = 5_000_000
_LASTS: Final = 3 * 10**9
_BEFORE: Final = 20 * 10**9  # a call is timed by its begin, and may have waited for an answer
_AFTER: Final = 5 * 10**9
_FOREVER: Final = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A certificate that a probe shows, from `since` (nanoseconds since the epoch) on."""

    svid: Svid
    since: int

    def fits(self, calls: pa.Table) -> pa.ChunkedArray:
        """Return which of `calls` may be of this probe."""
        time = calls["time"].cast(pa.int64())
        during = pc.and_(
            pc.greater_equal(time, self.since - _SLACK), pc.less_equal(time, self.since + _LASTS)
        )
        shown = _is(calls, "source_certificate", self.svid.sha256)
        return pc.and_(during, pc.or_(shown, _is(calls, "claimed", str(self.svid.identity))))


@dataclass(kw_only=True)
class Scene:
    """The scene of all incidents of one mesh.

    Attributes:
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
    _away: deque[tuple[str, int, int]] = field(default_factory=lambda: deque(maxlen=MAX_SHOWN))
    _shown: deque[_Shown] = field(default_factory=lambda: deque(maxlen=MAX_SHOWN))

    def others(self, calls: pa.Table) -> pa.Table:
        """Return `calls` without what is our own doing, and says nothing of how anybody behaves.

        That is a probe (refused, and shown a certificate by us), or a call to a suspect that we had
        cut off: who fails there must not be suspected for it, or one response would bring the next.
        """
        for shown in list(self._shown):
            calls = calls.filter(pc.invert(pc.and_(calls["denied"], shown.fits(calls))))
        for identity, since, until in list(self._away):
            calls = calls.filter(pc.invert(_away(calls, identity, since, until)))
        return calls

    def went(self, identity: str) -> None:
        """Note that `identity` is cut off from now on."""
        self._away.append((identity, self._now() - _BEFORE, _FOREVER))

    def came_back(self, identity: str) -> None:
        """Note that `identity` serves again; what was under way ends in a moment."""
        until = self._now() + _AFTER
        self._away = deque(
            (
                (name, since, until if name == identity and end == _FOREVER else end)
                for name, since, end in self._away
            ),
            maxlen=MAX_SHOWN,
        )

    async def verify_refused(self, incident: Incident, *, place: str, in_handshake: bool) -> str:
        """Return what shows that what a thief may hold of the suspect's is refused by its peers.

        Arguments and errors as `probing.certificate.verify_refused`; the key must be there.
        """
        svid, plane = self.stolen[incident.id], self.plane
        callees = self.around(incident).callees
        self._shown.append(_Shown(svid=svid, since=self._now()))
        return await asyncio.to_thread(
            verify_refused,
            plane.layout,
            svid,
            questions_for(plane.published.policy, svid.identity, callees),
            place=place,
            in_handshake=in_handshake,
        )

    def _now(self) -> int:
        return int(self.plane.clock.now().timestamp() * 1e9)

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


def _away(calls: pa.Table, identity: str, since: int, until: int) -> pa.ChunkedArray:
    """Return which of `calls` went to `identity` in that time."""
    time = calls["time"].cast(pa.int64())
    during = pc.and_(pc.greater_equal(time, since), pc.less_equal(time, until))
    return pc.and_(_is(calls, "destination", identity), during)


def _is(calls: pa.Table, column: str, text: str) -> pa.ChunkedArray:
    """Return where a column holds `text`; unknown is no."""
    return pc.equal(calls[column].cast(pa.string()), text).fill_null(False)
