"""What the bank did about an attack: its own incident, followed until it is over, and told.

Times and proofs are those of the incident's record; how customers fared and what arrived outside is
what they and the card network say.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from meshwarden.adapters.forensics import verify_archive
from meshwarden.kernel import MeshwardenError
from meshwarden.lab.load import LoadReport
from meshwarden.lab.stage import Stage

OPENS_S: Final = 5.0
OVER_S: Final = 90.0
ANSWERED_S: Final = 15.0
_LOOK_S: Final = 0.1
_HALTED: Final = {"waiting", "stopped"}
_ENDED: Final = {"closed", "false-alarm"}
_OVER: Final = {"recovered", "failed"} | _ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Fared:
    """How many requests customers had sent, and how many had failed."""

    requests: int
    failures: int

    @classmethod
    def so_far(cls, report: LoadReport) -> "Fared":
        """Return how they have fared so far."""
        total = report.total
        return cls(requests=total.sent, failures=total.failed)

    def since(self, before: "Fared") -> "Fared":
        """Return how they fared from `before` until this."""
        return Fared(
            requests=self.requests - before.requests, failures=self.failures - before.failures
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of the incident.

    Attributes:
        incident: as the API shows it.
        fared: customers, from the attack's begin until it was over.
        octets_after: octets that arrived outside after `contained`; None where nothing was.
        evidence_verifies: whether the archive does; None where there is none.
    """

    incident: Mapping[str, Any]
    fared: Fared
    octets_after: int | None
    evidence_verifies: bool | None

    def when(self, kind: str, action: str) -> str | None:
        """Return when the record says that `action` was last started, applied or verified."""
        times = [
            str(entry["time"])
            for entry in self.incident["record"]
            if entry["kind"] == kind and entry["data"].get("action") == action
        ]
        return times[-1] if times else None

    @property
    def acted(self) -> bool:
        """Whether anything was done that takes something away."""
        return self.incident["contained"] is not None

    @property
    def recovered(self) -> bool:
        """Whether the suspect's service is well again, and the evidence holds."""
        return self.incident["state"] == "recovered" and self.evidence_verifies is not False


async def follow(
    stage: Stage, suspect: str, *, since: int, report: LoadReport, before: Fared
) -> Answer | None:
    """Return what the bank did about `suspect` once it is over; None where it opened no incident.

    Args:
        stage: the bank.
        suspect: SPIFFE ID of the compromised service.
        since: when the attack began, nanoseconds since the epoch.
        report: what customers see.
        before: what they had seen when the attack began.
    """
    incident = await _until(stage, suspect, OPENS_S, lambda _: True)
    if incident is None:
        return None
    await _until(stage, suspect, OVER_S, _is_over)
    found = await stage.incident(incident["id"])
    fared = (await _answered(report)).since(before)
    await stage.note(
        found["id"],
        "customers, from the attack's begin until now",
        {"requests": fared.requests, "failures": fared.failures},
    )
    found = await stage.incident(found["id"])
    return Answer(
        incident=found,
        fared=fared,
        octets_after=await _octets_after(stage, found, since),
        evidence_verifies=await asyncio.to_thread(_verifies, found["evidence"]),
    )


async def _answered(report: LoadReport) -> Fared:
    """Return how customers have fared once all that they had sent by now is answered."""
    sent, loop = report.total.sent, asyncio.get_running_loop()
    end = loop.time() + ANSWERED_S
    while _done(report) < sent and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)  # the load tells nobody
    return Fared(requests=sent, failures=report.total.failed)


def _done(report: LoadReport) -> int:
    total = report.total
    return total.ok + total.refused + total.failed


async def _until(
    stage: Stage, suspect: str, within_s: float, reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return the suspect's newest incident once `reached`; as it is then where it takes longer."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while True:
        mine = [
            one
            for one in await stage.incidents()
            if one["identity"] == suspect and one["state"] not in _ENDED
        ]
        if (mine and reached(mine[-1])) or loop.time() >= end:
            return mine[-1] if mine else None
        await asyncio.sleep(_LOOK_S)  # another program has no event to await


def _is_over(incident: dict[str, Any]) -> bool:
    steps = incident["steps"]
    pending = [one for one in steps if one["state"] in {"planned", "started", "applied"}]
    halted = any(one["state"] in _HALTED for one in steps)
    return incident["state"] in _OVER or not pending or halted


async def _octets_after(stage: Stage, incident: Mapping[str, Any], since: int) -> int | None:
    contained = [
        entry
        for entry in incident["record"]
        if entry["kind"] == "applied" and entry["data"]["action"] == "quarantine"
    ]
    if not contained:
        return None
    at_s = _seconds(contained[-1]["time"])
    arrivals = (await stage.received())["arrivals"]
    late: list[int] = [octets for when, octets in arrivals if when > max(at_s, since / 1e9)]
    return sum(late)


def _seconds(text: str) -> float:
    whole, _, rest = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{rest or 0}")


def _verifies(evidence: Mapping[str, str] | None) -> bool | None:
    if evidence is None:
        return None
    try:
        verify_archive(Path(evidence["archive"]), key=evidence["key"], digest=evidence["digest"])
    except MeshwardenError:
        return False
    return True
