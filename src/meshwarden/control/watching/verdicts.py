"""Verdicts as people give them: for so many days, from now on."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from meshwarden.behaviour.verdict import Verdict
from meshwarden.kernel import InputError

MAX_DAYS: Final = 365
_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _NS


def verdict_of(
    source: str,
    *,
    destination: str | None,
    channel: str | None,
    days: int,
    reason: str,
    by: str,
    now: int,
) -> Verdict:
    """Return a verdict that holds for `days` from `now` (ns); InputError where it is none."""
    if not 1 <= days <= MAX_DAYS:
        raise InputError("behaviour.verdict", f"holds for 1 to {MAX_DAYS} days", where="days")
    try:
        return Verdict(
            source=source, destination=destination, channel=channel,
            said=now, until=now + days * _DAY_NS, reason=reason, by=by,
        )  # fmt: skip
    except ValueError as error:
        raise InputError("behaviour.verdict", str(error), where="verdict") from error


def verdict_object(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON has it; `said` is null where that is not on record."""
    said = None if verdict.said is None else _written(verdict.said)
    return asdict(verdict) | {"said": said, "until": _written(verdict.until)}


def _written(time: int) -> str:
    return datetime.fromtimestamp(time // _NS, UTC).isoformat(timespec="seconds")
