"""An attacker who wants us to do the damage: make the bank cut off its own ledger.

He holds a stolen SVID of every service (more than any thief should), and forges others:

1. Forged: certificates of his own authority that name the ledger, shown to every service.
2. Framing: with the ledger's real SVID he asks every service for what no rule allows.
3. Flood: then the same with the SVIDs of all others, so that findings about all come together.

The bank may cut off what its guard rails leave to it, and has to stop at what they do not: people
are called, and customers notice nothing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from meshwarden.identity import Authority
from meshwarden.lab.answer import Fared
from meshwarden.lab.attempts import Credentials, try_request
from meshwarden.lab.demo_thief import forged_authority, store_credentials
from meshwarden.lab.load import LoadReport
from meshwarden.lab.stage import Stage

TARGET: Final = "ledger"
PLACE: Final = "notifications"  # the service in whose network he stands
ROUNDS: Final = 3
APART_S: Final = 3.0
QUIET_S: Final = 5.0
OVER_S: Final = 120.0
_LOOK_S: Final = 0.2
_MOVING: Final = {"started", "applied"}
_HALTED: Final = {"waiting", "stopped", "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """What came of it.

    Attributes:
        forged: handshakes with forged certificates, all of them.
        asked: requests with stolen ones.
        incidents: as the API shows them when nothing moves any more.
        pages: how many times people were called.
        fared: how customers fared meanwhile.
    """

    forged: int
    asked: int
    incidents: tuple[Mapping[str, Any], ...]
    pages: int
    fared: Fared

    @property
    def contained(self) -> tuple[str, ...]:
        """The services that were cut off, in order."""
        return tuple(str(one["service"]) for one in self.incidents if one["contained"])

    @property
    def held_back(self) -> tuple[str, ...]:
        """The services that were not, because a guard rail asked for people or stopped."""
        return tuple(
            str(one["service"])
            for one in self.incidents
            if not one["contained"]
            and any(step["state"] in {"waiting", "stopped"} for step in one["steps"])
        )

    @property
    def failed(self) -> bool:
        """Whether the attacker failed: the ledger serves, people know, customers did not notice."""
        share = self.fared.failures / max(1, self.fared.requests)
        return TARGET not in self.contained and self.pages > 0 and share <= 0.005


async def frame(
    stage: Stage, authority: Authority, folder: Path, *, now: datetime, report: LoadReport
) -> Framing:
    """Carry it out on `stage`, and return what came of it once nothing moves any more."""
    before = Fared.so_far(report)
    stolen = {
        name: store_credentials(folder / f"{name}.pem", authority, service.identity, now)
        for name, service in stage.policy.services.items()
        if name in stage.mesh.services
    }
    forger = forged_authority(stage.policy.trust_domain, now=now)
    ledger = stage.policy.services[TARGET].identity
    forged = store_credentials(folder / "forged.pem", forger, ledger, now)
    target = {TARGET: stolen[TARGET]}
    tried = [await _round(stage, target, forged) for _ in range(ROUNDS)]
    await asyncio.sleep(APART_S)  # the attacker's own pause: the ledger is noticed first
    tried += [await _round(stage, stolen, forged) for _ in range(ROUNDS)]
    incidents = await _until_still(stage)
    return Framing(
        forged=sum(one for one, _ in tried),
        asked=sum(one for _, one in tried),
        incidents=tuple(incidents),
        pages=await stage.pages(),
        fared=Fared.so_far(report).since(before),
    )


async def _round(
    stage: Stage, stolen: Mapping[str, Credentials], forged: Credentials
) -> tuple[int, int]:
    """Show the forged certificate to every service, and ask each for what none may have."""
    callees = [name for name in stage.mesh.services if name != "ledger-db"]
    shown = [_ask(stage, forged, callee) for callee in callees]
    asked = [
        _ask(stage, held, callee)
        for name, held in stolen.items()
        for callee in callees
        if name not in {callee, "ledger-db"}
    ]
    await asyncio.gather(*shown)
    await asyncio.gather(*asked)
    return len(shown), len(asked)


async def _ask(stage: Stage, held: Credentials, callee: str) -> None:
    where = stage.seen_from(PLACE, stage.layout.address(callee), sidecar=True)
    await try_request(where, held, "GET", "/v1/internal/keys", callee)


async def _until_still(stage: Stage) -> list[dict[str, Any]]:
    """Return all incidents once none has moved for `QUIET_S`, or the wait is over."""
    loop = asyncio.get_running_loop()
    end, since, last = loop.time() + OVER_S, loop.time(), ""
    while True:
        incidents = await stage.incidents()
        seen = str([(one["id"], one["state"], one["steps"]) for one in incidents])
        moving = any(map(_is_moving, incidents))
        if seen != last:
            since, last = loop.time(), seen
        still = loop.time() - since > QUIET_S and not moving
        if still or loop.time() - since > 4 * QUIET_S or loop.time() > end:
            return incidents
        await asyncio.sleep(_LOOK_S)  # another program has no event to await


def _is_moving(incident: Mapping[str, Any]) -> bool:
    """Return whether something is under way, or planned and not held up by what came before."""
    states = {step["state"] for step in incident["steps"]}
    return bool(states & _MOVING) or ("planned" in states and not states & _HALTED)
