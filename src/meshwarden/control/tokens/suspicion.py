"""What findings about a workload add to the risk of the requests that it carries.

A finding adds by its severity, fades with a half-life of an hour, and all of them together add at
most `LIMIT`: a suspected workload makes its users prove themselves, it does not lock them out.
"""

import math
from collections import OrderedDict
from datetime import datetime
from typing import Final

from meshwarden.kernel import Clock, Finding, Severity, SpiffeId

HALF_LIFE_S: Final = 3600.0
LIMIT: Final = 4.0
MAX_WORKLOADS: Final = 10_000
WEIGHTS: Final = {
    Severity.LOW: 0.3,
    Severity.MEDIUM: 1.0,
    Severity.HIGH: 2.0,
    Severity.CRITICAL: 4.0,
}


class Suspicion:
    """Log likelihood ratios of workloads, from the findings that are told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    def hear(self, finding: Finding) -> None:
        """Take a finding about a workload; those about anything else are passed over."""
        if not finding.subject.startswith("spiffe://"):
            return
        weight = min(LIMIT, self._at(finding.subject) + WEIGHTS[finding.severity])
        self._held[finding.subject] = weight, self._clock.now()
        self._held.move_to_end(finding.subject)
        if len(self._held) > MAX_WORKLOADS:
            self._held.popitem(last=False)

    def of(self, workload: SpiffeId) -> float:
        """Return what findings about `workload` add now, 0 to `LIMIT`."""
        return self._at(str(workload))

    def _at(self, workload: str) -> float:
        held = self._held.get(workload)
        if held is None:
            return 0.0
        weight, time = held
        age_s = (self._clock.now() - time).total_seconds()
        return weight * math.exp2(-max(0.0, age_s) / HALF_LIFE_S)
