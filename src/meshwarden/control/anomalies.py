"""What is not normal in logs that exist already, and how far that can be said from them alone.

Nothing is known before the first call (cold start): the model learns from the very calls that it
judges, each after it was scored. What that means for what was found is part of the answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from meshwarden.behaviour import Settings
from meshwarden.kernel import Finding

if TYPE_CHECKING:
    from meshwarden.behaviour import Model

_MINUTE: Final = 60_000_000_000
_DAY: Final = 24 * 60 * _MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomalies:
    """What the behaviour model found in calls that nothing preceded.

    Attributes:
        findings: in the order of the calls.
        calls: how many were read.
        judged: how many of them came after the warm-up; before, nothing is reported.
        span_ns: from the first call to the last, without gaps of more than a week.
        settings: of the model.
    """

    findings: tuple[Finding, ...]
    calls: int
    judged: int
    span_ns: int
    settings: Settings

    def lines(self) -> list[str]:
        """Return how far what was found, or not, can be relied on; one line for each ground."""
        warm = f"{self.settings.warm_up_minutes:g} minutes"
        if not self.judged:
            return [
                f"judged      none: nothing is known before these calls, and they span less than"
                f" the {warm} and {self.settings.warm_up_calls} calls that are learned first"
            ]
        budget = self.settings.false_alarms_per_day
        lines = [
            f"judged      {self.judged:,} of {self.calls:,} calls; the first {warm} were only"
            " learned: an attack under way from the beginning counts as normal",
            f"false ones  about {budget:g} a day are to be expected, {self._expected:.1f} here",
        ]
        if self.span_ns < _DAY:
            lines.append(
                "cold start  less than a day: alarms take more evidence, and beacons, slow leaks"
                " and silences cannot be told yet"
            )
        elif self.span_ns < 7 * _DAY:
            lines.append("cold start  less than a week: what is done weekly looks new")
        return lines

    @property
    def _expected(self) -> float:
        return self.settings.false_alarms_per_day * max(self.span_ns / _DAY, 0.1)

    def to_object(self) -> dict[str, Any]:
        """Return the grounds for JSON; the span in nanoseconds."""
        return {
            "calls": self.calls,
            "judged": self.judged,
            "span_ns": self.span_ns,
            "warm_up": {
                "minutes": self.settings.warm_up_minutes,
                "calls": self.settings.warm_up_calls,
            },
            "false_alarms_per_day": self.settings.false_alarms_per_day,
        }


def anomalies_of(tables: Iterable[pa.Table], settings: Settings) -> Anomalies:
    """Return what is found in `tables` (CALL_SCHEMA, by time), from nothing, in one pass."""
    from meshwarden.behaviour import Model  # noqa: PLC0415  # compiled code, slow to load

    model, findings, judged = Model(settings), list[Finding](), 0
    for table in tables:
        before = model.calls
        findings += model.observe(table).findings
        judged += _after_warm_up(table, before, model)
    return Anomalies(
        findings=tuple(findings),
        calls=model.calls,
        judged=judged,
        span_ns=model.times[1] - model.began,
        settings=settings,
    )


def _after_warm_up(table: pa.Table, before: int, model: "Model") -> int:
    """Return how many calls of `table`, which `before` others preceded, were judged."""
    settings = model.settings
    time = np.asarray(table["time"].cast(pa.int64()))
    late = time - model.began >= settings.warm_up_minutes * _MINUTE
    late[: max(settings.warm_up_calls - before, 0)] = False
    return int(late.sum())
