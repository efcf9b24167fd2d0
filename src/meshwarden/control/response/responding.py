"""The response of a running mesh: takes findings from whoever tells them, and acts on them.

Findings come from threads and in floods: what waits is bounded, and what did not fit is counted and
logged. A finding that was stored is not lost by that, and the next one about the same suspect acts.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from meshwarden.control.plane import ControlPlane
from meshwarden.control.response.actions.scene import Scene
from meshwarden.control.response.actions.throttle import RATE_PER_S
from meshwarden.control.response.controller import Controller
from meshwarden.control.response.recutting import Recutting
from meshwarden.control.response.suspecting import Suspecting, isolated_by, throttled_by
from meshwarden.kernel import Finding, MeshwardenError

MAX_WAITING: Final = 1000
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Responding:
    """What responds to what a control plane finds.

    Attributes:
        plane: the control plane.
        controller: who acts.
        suspecting: whom findings are about.
        scene: what its actions have before them.
        left_out: findings that did not fit since the start.
    """

    plane: ControlPlane
    controller: Controller
    suspecting: Suspecting
    scene: Scene
    left_out: int = 0
    _waiting: deque[Finding] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        """Have everyone in quarantine who must be, before any sidecar is told anything."""
        self.controller.records.load()
        incidents = self.controller.records.incidents.values()
        self.plane.quarantine.begin(isolated_by(incidents))
        self.plane.throttling.begin(dict.fromkeys(throttled_by(incidents), RATE_PER_S))
        for incident in incidents:
            if isolated_by([incident]):
                self.scene.own.went(incident.suspect.identity)
            if throttled_by([incident]):
                self.scene.own.slowed(incident.suspect.identity)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Act while the context lasts."""
        loop, before = asyncio.get_running_loop(), self.plane.teller.heard

        def _heard(finding: Finding) -> None:
            before(finding)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody acts any more
                loop.call_soon_threadsafe(self._offer, finding)

        self.plane.teller.heard = _heard
        if self.plane.watch is not None:
            self.plane.watch.others = self.scene.own.others
        incidents = self.controller.records.incidents
        again = Recutting(driver=self.scene.driver, incidents=incidents.values)
        loops = (self.controller.run(), self._take(), again.run())
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            self.plane.teller.heard = before
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _offer(self, finding: Finding) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self.left_out += 1
            if self.left_out & (self.left_out - 1) == 0:  # each time it has doubled
                _log.error("findings_left_out", count=self.left_out)
            return
        self._waiting.append(finding)
        self._arrived.set()

    async def _take(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                finding = self._waiting.popleft()
                try:
                    await self.controller.take(finding, first_call=self._first_call(finding))
                except MeshwardenError as error:
                    _log.error("finding_not_taken", code=finding.code, error=str(error))

    def _first_call(self, finding: Finding) -> int | None:
        """Return when the first call behind `finding` began, as far as it is known."""
        watch = self.plane.watch
        return None if watch is None else watch.began(finding)
