"""Findings: an alarm in plain words, with the numbers, the calls and what to look at next."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.outcomes import BROKEN, OUTCOMES, UNANSWERED
from meshwarden.behaviour.recent import call_line
from meshwarden.kernel import Contribution, Finding, Severity

MATRIX: Final = "18.1"
_DAY: Final = 86_400e9


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a channel says after the source, its technique, what to look at next.

    `breaks` is the technique where what is failed breaks: guessing is refused, floods break.
    """

    words: str
    technique: str
    look: str
    breaks: str = ""


_RATE: Final = "what the caller was told to do since then, and whether others' load rose as well"
MEANINGS: Final = {
    "new edge": Meaning("called {to} {first}", "T1021", "who deployed or asked for it"),
    "new service": Meaning("used {service} of {to} {first}", "T1021", "who asked for it"),
    "fan-out": Meaning("called unusually many others, {to} among them", "T1046", "its other calls"),
    "fan-in": Meaning("is one of unusually many callers of {to}", "T1498", "the callers of {to}"),
    "failing": Meaning("fails at one first contact after another, now {to}", "T1046", "its calls"),
    "edge": Meaning("called {to} far more often than it does", "T1499", _RATE),
    "source": Meaning("made far more calls than it does, now to {to}", "T1499", _RATE),
    "destination": Meaning("takes part in unusually many calls to {to}", "T1498", _RATE),
    "octets sent in a call": Meaning(
        "sent {to} at {service} more octets in one call than such calls have",
        "T1048",
        "what was sent",
    ),
    "octets received in a call": Meaning(
        "took more octets from {to} at {service} in one call than such calls have",
        "T1530",
        "what it read",
    ),
    "octets sent against received": Meaning(
        "sends {to} more for what it receives than it does", "T1048", "what was sent"
    ),
    "octets sent": Meaning("sent {to} far more octets than it does", "T1048", "what was sent"),
    "octets received": Meaning(
        "took far more octets from {to} than it does", "T1530", "what it read"
    ),
    "status mix": Meaning(
        "gets other answers from {to} at {service} than it does, now: {outcome}",
        "T1110",
        "what it was refused, or broke",
        breaks="T1499",
    ),
    "success": Meaning(
        "is answered by {to} at {service}, where it was not", "T1078", "what it got"
    ),
    "failures": Meaning(
        "is refused or fails at {to} unusually often, now: {outcome}",
        "T1110",
        "what it asked for, and whether {to} is well",
        breaks="T1499",
    ),
    "body": Meaning("sent {to} a body of a structure never seen there", "T1210", "the body"),
    "even": Meaning("calls {to} by the clock, on an edge that is young", "T1071", "the process"),
    "session on": Meaning(
        "uses towards {to} one session from two places at once", "T1550", "both places"
    ),
    "silence": Meaning(
        "has fallen silent towards {to}, which it calls at this hour",
        "T1489",
        "whether either stopped, or what came between them",
    ),
    "transaction on": Meaning(
        "carries towards {to} one transaction on two instances at once", "T1550", "both instances"
    ),
    "transaction": Meaning(
        "carries towards {to} a transaction that never reached it", "T1550", "who held its token"
    ),
    "session": Meaning("uses towards {to} a session that another holds", "T1550", "both holders"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm, as the model has it.

    Attributes:
        time: ns since the epoch.
        source, destination, service: names; service is "" where the call states none.
        towards: whom it is about: the destination, but for what is not called.
        outcome: one of OUTCOMES: what the call came to; "" where that is not known.
        channel: the first to speak.
        surprise: nats by channel name, of those that spoke.
        score: -log10 of how many such groups (an edge in an hour) a day are expected.
        groups_per_day: how many groups a day there are.
        known: ns, for how long anything has been.
        row: number of the call since the model began.
        before: the calls before it that belong to it, one line each.
        first: the call is the first of its edge, or of its service there.
        grown: it is no alarm of its own: what a suspect does became rarer by far.
        peers: how many peers the source has, where it is about something new; see `peers`.
        did: how many of them did the same before.
    """

    time: int
    source: str
    destination: str
    service: str
    towards: str
    outcome: str
    channel: str
    surprise: dict[str, float]
    score: float
    groups_per_day: float
    known: int
    row: int
    before: tuple[str, ...] = ()
    first: bool = True
    grown: bool = False
    peers: int = 0
    did: int = 0


def meaning_of(channel: str) -> Meaning:
    """Return what a channel says; KeyError where nobody wrote it down."""
    return next(m for start, m in MEANINGS.items() if channel.startswith(start))


def finding_of(alarm: Alarm) -> Finding:
    """Return the finding of an alarm."""
    meaning = meaning_of(alarm.channel)
    p = min(10.0**-alarm.score / max(alarm.groups_per_day, 1.0), 1.0)
    to = alarm.towards
    names = {"to": to, "service": alarm.service or "a service", "outcome": alarm.outcome}
    names["first"] = "for the first time" if alarm.first else "again, which is new to it"
    words = meaning.words.format(**names) + ("; the incident grows" if alarm.grown else "")
    sentence = (
        f"{alarm.source} {words}; {_history(alarm)} of history{_peers(alarm)}, as odd is"
        f" expected {_often(alarm)}; p = {p:.0e}; look at {meaning.look.format(to=to)}"
    )
    total = sum(alarm.surprise.values()) or 1.0
    ordered = sorted(alarm.surprise.items(), key=lambda each: -each[1])
    call = call_line(alarm.row, alarm.time, alarm.source, alarm.destination, alarm.service)
    breaks = alarm.outcome in {OUTCOMES[BROKEN], OUTCOMES[UNANSWERED]}
    return Finding(
        time=alarm.time,
        code=f"behaviour.{alarm.channel.replace(' ', '_').replace('-', '_')}",
        subject=alarm.source,
        severity=_severity(alarm.score),
        sentence=sentence,
        p_value=p,
        contributions=tuple(Contribution(name=n, weight=x / total) for n, x in ordered),
        technique=f"{(breaks and meaning.breaks) or meaning.technique}@{MATRIX}",
        evidence=(call, *(f"before it, {one}" for one in alarm.before)),
    )


def spoken(surprise: NDArray[np.float32], channels: tuple[str, ...]) -> dict[str, float]:
    """Return nats by name of the channels that say anything."""
    return {channels[c]: float(surprise[c]) for c in np.flatnonzero(surprise > 0)}


def text(value: Any) -> str:
    """Return a name from outside in one line: at most 200 characters, controls escaped."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value or "")[:200])


def _history(alarm: Alarm) -> str:
    days = alarm.known / _DAY
    return f"{days:.0f} days" if days >= 2 else f"{max(days * 24.0, 0.1):.1f} hours"


def _peers(alarm: Alarm) -> str:
    if not alarm.peers:
        return ""
    if alarm.peers == 1:
        return f", its one peer {'did before' if alarm.did else 'never did'}"
    if not alarm.did:
        return f", none of its {alarm.peers} peers ever did"
    did = "all" if alarm.did == alarm.peers else alarm.did
    return f", {did} of its {alarm.peers} peers did before"


def _often(alarm: Alarm) -> str:
    """Return how often so odd a group is expected; beyond ten times the history nobody knows."""
    per_day = 10.0**-alarm.score
    if per_day >= 0.1:
        return f"{per_day:.1f} times a day"
    most = max(10.0 * alarm.known / _DAY, 10.0)
    rarer = "less than " if per_day * most < 1.0 else ""
    return f"{rarer}once in {min(1.0 / per_day, most):.0f} days"


def _severity(score: float) -> Severity:
    return Severity.HIGH if score >= 2.0 else Severity.MEDIUM if score >= 0.0 else Severity.LOW
