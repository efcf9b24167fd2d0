"""What the watch needs from a model of behaviour: `behaviour.Model`, detectors and all, is one."""

from typing import Protocol

import pyarrow as pa

from meshwarden.behaviour.verdict import Verdict
from meshwarden.kernel import Finding


class Scored(Protocol):
    """What came of one batch of calls."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was raised in it."""
        ...


class ScoringModel(Protocol):
    """Learns from calls, and scores each before it is learned.

    Attributes:
        verdicts: what people called benign, in the order of their saying so.
    """

    verdicts: list[Verdict]

    def observe(self, calls: pa.Table) -> Scored:
        """Score `calls` (CALL_SCHEMA, roughly by time), then learn from what is not alarming."""
        ...

    def judge(self, verdict: Verdict) -> None:
        """Hold back the alarms that `verdict` covers; InputError `behaviour.channel`."""
        ...

    def save(self) -> bytes:
        """Return all that was learned."""
        ...
