"""`Finding`: something a person or a playbook should know about one workload or one proxy."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much it matters, in the order of `--fail-on`."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """How much one observation explains of a finding; `weight` is a share, 0..1."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was seen, about whom, how surprising, and one sentence that a person can act on.

    Attributes:
        time: nanoseconds since the epoch, UTC.
        code: stable and dotted (`dataplane.nack`).
        subject: the SPIFFE ID, proxy or file it is about.
        severity: how much it matters.
        sentence: one sentence that says what happened and what to do.
        p_value: probability of something at least as surprising where nothing is wrong; None for
            facts.
        contributions: what explains it, largest first.
        technique: ATT&CK technique with its matrix version (`T1046@18.1`); None where none fits.
        evidence: the calls or resources behind it, by name.
    """

    time: int
    code: str
    subject: str
    severity: Severity
    sentence: str
    p_value: float | None = None
    contributions: tuple[Contribution, ...] = ()
    technique: str | None = None
    evidence: tuple[str, ...] = ()
