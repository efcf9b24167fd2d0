"""What the watch says about itself, and about people who hold its alarms back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from meshwarden.behaviour.verdict import Verdict
from meshwarden.kernel import Clock, Finding, Severity

_NS: Final = 1_000_000_000


def finding_about_itself(clock: Clock, code: str, sentence: str) -> Finding:
    """Return a finding about the watch, as of now."""
    return Finding(
        time=nanoseconds(clock),
        code=code,
        subject="behaviour",
        severity=Severity.MEDIUM,
        sentence=sentence,
    )


def finding_about_verdict(clock: Clock, verdict: Verdict) -> Finding:
    """Return a finding that says who has which alarms held back: nobody does so unseen.

    Its time is when that was said; now, where that is not on record.
    """
    towards = f" towards {verdict.destination}" if verdict.destination else ""
    of = f"{verdict.channel} alarms" if verdict.channel else "Alarms"
    says = "says" if verdict.said is None else f"said at {_minute(verdict.said)}"
    return Finding(
        time=nanoseconds(clock) if verdict.said is None else verdict.said,
        code="behaviour.verdict",
        subject=verdict.source,
        severity=Severity.LOW,
        sentence=f"{of} about {verdict.source}{towards} are held back until"
        f" {_minute(verdict.until)}: {verdict.by} {says} {verdict.reason!r}",
    )


def findings_about_verdicts(
    clock: Clock, verdicts: Sequence[Verdict], *, after: int
) -> list[Finding]:
    """Return one for each of `verdicts` that may cover calls `after` then (ns since the epoch)."""
    return [finding_about_verdict(clock, one) for one in verdicts if one.until > after]


def nanoseconds(clock: Clock) -> int:
    """Return the time of day in nanoseconds since the epoch."""
    now = clock.now()
    return int(now.timestamp()) * _NS + now.microsecond * 1000


def _minute(time: int) -> str:
    return datetime.fromtimestamp(time // _NS, UTC).isoformat(timespec="minutes")
