"""Remembers who was refused: one finding for each user and program, then a count in the log.

A refused process may try as often as it likes; what is kept of it must not grow with its tries.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from meshwarden.identity import ProcessFacts
from meshwarden.kernel import Clock, Finding, Severity

AGAIN: Final = timedelta(hours=1)
"""After which the same user and program are worth another finding."""

MAX_KNOWN: Final = 512
MAX_FINDINGS_PER_HOUR: Final = 60
"""Beyond, one finding says that there are more; the log still counts them."""

_log = structlog.get_logger()
_Who = tuple[int, str | None]


@dataclass(kw_only=True)
class Refusals:
    """Turns refusals into findings.

    Attributes:
        clock: the time of day.
        tell: takes a finding.
    """

    clock: Clock
    tell: Callable[[Finding], None]
    _told: "OrderedDict[_Who, datetime]" = field(init=False, default_factory=OrderedDict)
    _hour: datetime | None = field(init=False, default=None)
    _count: int = field(init=False, default=0)

    def record(self, facts: ProcessFacts, method: str) -> None:
        """Record that the process was refused."""
        now = self.clock.now()
        who = (facts.uid, facts.executable)
        told = self._told.get(who)
        if told is not None and timedelta() <= now - told < AGAIN:
            return
        self._told[who] = now
        self._told.move_to_end(who)
        while len(self._told) > MAX_KNOWN:
            self._told.popitem(last=False)
        if self._hour is None or not timedelta() <= now - self._hour < AGAIN:
            self._hour, self._count = now, 0
        self._count += 1
        if self._count <= MAX_FINDINGS_PER_HOUR:
            self.tell(_finding(facts, method, now))
        elif self._count == MAX_FINDINGS_PER_HOUR + 1:
            self.tell(_flood(now))


def _finding(facts: ProcessFacts, method: str, now: datetime) -> Finding:
    program = facts.executable or "a program that cannot be named"
    return Finding(
        time=int(now.timestamp() * 1_000_000) * 1000,
        code="identity.workload_refused",
        subject=f"uid:{facts.uid}",
        severity=Severity.MEDIUM,
        sentence=(
            f"Process {facts.pid} ({program[:200]}) of user {facts.uid} asked the Workload API for"
            " an identity and meets no registration; if it should have one: meshwarden identity"
            " register"
        ),
        evidence=(
            f"method={method}",
            f"gid={facts.gid}",
            f"session={facts.session}",
            f"cgroup={facts.cgroup}",
            f"network_namespace={facts.network_namespace}",
        ),
    )


def _flood(now: datetime) -> Finding:
    return Finding(
        time=int(now.timestamp() * 1_000_000) * 1000,
        code="identity.workload_refusals",
        subject="workload-api",
        severity=Severity.HIGH,
        sentence=(
            f"More than {MAX_FINDINGS_PER_HOUR} different programs or users without a registration"
            " asked the Workload API within an hour; further ones are not listed one by one"
        ),
    )
