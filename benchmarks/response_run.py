"""One attack on the standing bank, and what became of it in figures.

Times are those of the incident's record, in milliseconds. `found` is the first finding about the
compromised service; `decided` is the one upon which the playbook that acts was taken up, which may
be a later one: the response is timed from there, and the way there is told as well. The first
malicious call is the intruder's own first step. Octets are what the card network received, failures
what customers saw, whoever caused them.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from meshwarden.lab.answer import Answer
from meshwarden.lab.attacks.siege import Siege

ACTS = "full"
"""The playbook that acts; the other one only observes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attack; None: it did not come so far.

    Attributes:
        attack, seed: which.
        found_ms: from the first malicious call until it was found.
        decided_ms: from then until it was acted upon.
        probability, playbook, state: of the incident when it was over; None where there was none.
        codes: the kinds of findings, in their order.
        contained_ms, verified_ms, recovered_ms: from the deciding finding on.
        evidence_ms, replace_ms: how long these two steps took, proof included.
        evidence_verifies: whether the archive does.
        octets_between: octets that arrived outside from the deciding finding until `contained`.
        octets_after, arrivals_after: octets, and requests or pieces of them, that did after that.
        answered_after: steps of the intruder that were answered after `contained`, in the mesh too.
        requests, failures: customers', from the attack's begin until it was over.
    """

    attack: str
    seed: int
    found_ms: float | None = None
    decided_ms: float | None = None
    probability: float | None = None
    playbook: str | None = None
    state: str | None = None
    codes: tuple[str, ...] = ()
    contained_ms: float | None = None
    verified_ms: float | None = None
    recovered_ms: float | None = None
    evidence_ms: float | None = None
    evidence_verifies: bool | None = None
    replace_ms: float | None = None
    octets_between: int | None = None
    octets_after: int | None = None
    arrivals_after: int | None = None
    answered_after: int | None = None
    requests: int
    failures: int

    @property
    def found(self) -> bool:
        """Whether anything was found."""
        return self.found_ms is not None

    @property
    def acted(self) -> bool:
        """Whether the suspect was cut off."""
        return self.contained_ms is not None


def figures(
    siege: Siege, answer: Answer, received: Mapping[str, Any], *, seed: int, began: int
) -> Run:
    """Return the figures of an attack that was found, or at least opened an incident.

    Args:
        siege: the attack.
        answer: what the bank did about it.
        received: what arrived at the card network, by time.
        seed: chance of the attack.
        began: when it did, nanoseconds since the epoch.
    """
    incident, attack = answer.incident, siege.raid.attack.name
    told = [one for one in findings_of(incident["record"]) if one[0] >= began]
    common = Run(
        attack=attack, seed=seed, requests=answer.fared.requests, failures=answer.fared.failures
    )
    if not told:
        return common
    first_act = min((act.at for act in siege.raid.acts), default=_ns(incident["first_call"]))
    found = told[0][0]
    decided, contained = deciding(incident["record"], since=began), _ns(incident["contained"])
    return replace(
        common,
        found_ms=_ms(first_act, found),
        decided_ms=_ms(found, decided),
        probability=incident["probability"],
        playbook=incident["playbook"],
        state=incident["state"],
        codes=tuple(dict.fromkeys(code for _, code in told)),
        contained_ms=_ms(decided, contained),
        verified_ms=_ms(decided, _ns(incident["verified"])),
        recovered_ms=_ms(decided, _ns(incident["recovered"])),
        evidence_ms=_took(answer, "snapshot"),
        evidence_verifies=answer.evidence_verifies,
        replace_ms=_took(answer, "replace"),
        octets_between=_octets(received, decided, contained),
        octets_after=answer.octets_after,
        arrivals_after=_late(received, contained),
        answered_after=_answered(siege, contained),
    )


def findings_of(record: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Return time (nanoseconds since the epoch) and code of each finding on record."""
    told = [one["data"]["finding"] for one in record if one["kind"] == "found"]
    return [(int(one["time"]), str(one["code"])) for one in told]


def deciding(record: Sequence[Mapping[str, Any]], *, since: int) -> int | None:
    """Return when the finding was raised upon which the playbook that acts was taken up."""
    last = None
    for entry in record:
        if entry["kind"] == "found" and int(entry["data"]["finding"]["time"]) >= since:
            last = int(entry["data"]["finding"]["time"])
        if entry["kind"] == "planned" and entry["data"]["playbook"] == ACTS:
            return last
    return None


def drop_evidence(answer: Answer) -> None:
    """Remove the archive: each has hundreds of megabytes, and it was verified."""
    evidence = answer.incident["evidence"]
    if evidence is not None:
        with contextlib.suppress(FileNotFoundError):
            Path(evidence["archive"]).unlink()


def _took(answer: Answer, action: str) -> float | None:
    return _ms(_ns(answer.when("started", action)), _ns(answer.when("verified", action)))


def _octets(received: Mapping[str, Any], decided: int | None, contained: int | None) -> int | None:
    if decided is None or contained is None:
        return None
    arrivals: list[tuple[float, int]] = received["arrivals"]
    return sum(octets for at, octets in arrivals if decided < at * 1e9 <= contained)


def _late(received: Mapping[str, Any], contained: int | None) -> int | None:
    if contained is None:
        return None
    arrivals: list[tuple[float, int]] = received["arrivals"]
    return sum(at * 1e9 > contained for at, _ in arrivals)


def _answered(siege: Siege, contained: int | None) -> int | None:
    if contained is None:
        return None
    return sum(act.answered and act.end > contained for act in siege.raid.acts)


def _ms(begin: int | None, end: int | None) -> float | None:
    return None if begin is None or end is None else round((end - begin) / 1e6, 1)


def _ns(text: str | None) -> int | None:
    if text is None:
        return None
    whole, _, rest = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(rest or 0)
