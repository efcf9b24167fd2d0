"""Which findings belong together, what phase of an attack they speak of, and what was touched."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import Finding
from meshwarden.response.model import Incident, IncidentState, Suspect

_PHASES: Final[Mapping[str, str]] = {
    "T1046": "discovery",
    "T1018": "discovery",
    "T1595": "reconnaissance",
    "T1021": "lateral-movement",
    "T1210": "lateral-movement",
    "T1550": "lateral-movement",
    "T1071": "command-and-control",
    "T1573": "command-and-control",
    "T1041": "exfiltration",
    "T1048": "exfiltration",
    "T1567": "exfiltration",
    "T1030": "exfiltration",
    "T1078": "credential-access",
    "T1528": "credential-access",
    "T1539": "credential-access",
    "T1110": "credential-access",
    "T1498": "impact",
    "T1499": "impact",
    "T1565": "impact",
}
"""Tactic by technique, ATT&CK for Enterprise 18.1; of several, the one that a call shows."""

_ORDER: Final = (
    "reconnaissance",
    "credential-access",
    "discovery",
    "lateral-movement",
    "command-and-control",
    "exfiltration",
    "impact",
)


def phase_of(findings: Iterable[Finding]) -> str | None:
    """Return the latest phase of an attack that the findings' techniques speak of."""
    techniques = [one.technique.partition("@")[0] for one in findings if one.technique]
    phases = {_PHASES.get(one.partition(".")[0]) for one in techniques} - {None}
    return max((one for one in phases if one), key=_ORDER.index, default=None)


def incident_about(suspect: Suspect, open_incidents: Iterable[Incident]) -> Incident | None:
    """Return the incident that a finding about `suspect` belongs to; None = a new one.

    One instance is one suspect: what is found about its certificate or one of its sessions is the
    same incident, so that a flood of findings is one incident rather than a hundred. One that was
    let back in and is suspected again is a new incident; one that was replaced can only be found
    again by what is left of its calls.
    """
    same = [one for one in open_incidents if not one.state.ended and one.suspect.key == suspect.key]
    active = [one for one in same if one.state is not IncidentState.RECOVERED or one.replaced]
    return active[-1] if active else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A party and route that the suspect reached since the first sign.

    Attributes:
        destination: the callee.
        method, route: what was asked; None for connections.
        calls: how many.
        denied: how many of them policy refused.
        sent_bytes, received_bytes: octets, as far as they are known.
        first, last: nanoseconds since the epoch, UTC.
    """

    destination: str
    method: str | None
    route: str | None
    calls: int
    denied: int
    sent_bytes: int
    received_bytes: int
    first: int
    last: int


def touched_by(suspect: Suspect, calls: pa.Table, *, since: int) -> tuple[Touched, ...]:
    """Return what `suspect` reached in `calls` (of `CALL_SCHEMA`) since `since`, busiest first."""
    source = pc.equal(pc.cast(calls["source"], pa.string()), suspect.identity)
    recent = pc.greater_equal(pc.cast(calls["time"], pa.int64()), since)
    own = calls.filter(pc.and_(source, recent))
    if suspect.certificate is not None:
        shown = pc.cast(own["source_certificate"], pa.string())
        own = own.filter(pc.fill_null(pc.equal(shown, suspect.certificate), False))
    plain = pa.table(
        {
            "destination": pc.cast(own["destination"], pa.string()),
            "method": pc.cast(own["method"], pa.string()),
            "route": pc.cast(own["route"], pa.string()),
            "denied": pc.cast(own["denied"], pa.int64()),
            "sent": pc.fill_null(own["request_bytes"], 0),
            "received": pc.fill_null(own["response_bytes"], 0),
            "time": pc.cast(own["time"], pa.int64()),
        }
    )
    sums = plain.group_by(["destination", "method", "route"]).aggregate(
        [
            ("denied", "count"),
            ("denied", "sum"),
            ("sent", "sum"),
            ("received", "sum"),
            ("time", "min"),
            ("time", "max"),
        ]
    )
    found = [
        Touched(
            destination=row["destination"],
            method=row["method"],
            route=row["route"],
            calls=row["denied_count"],
            denied=row["denied_sum"],
            sent_bytes=row["sent_sum"],
            received_bytes=row["received_sum"],
            first=row["time_min"],
            last=row["time_max"],
        )
        for row in sums.to_pylist()
    ]
    return tuple(sorted(found, key=lambda one: (-one.calls, one.destination, one.route or "")))
