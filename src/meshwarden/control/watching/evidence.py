"""When the calls behind a finding of behaviour were: read from the evidence that it names."""

import re
from datetime import datetime
from typing import Final

from meshwarden.kernel import Finding

_CALL: Final = re.compile(r"call \d+: (\S{1,40}) ")


def first_call_of(finding: Finding) -> int | None:
    """Return when the earliest call that `finding` names began, in nanoseconds; None: unknown.

    By the time that the model was shown, see `Pace`.
    """
    times = []
    for one in finding.evidence:
        if (named := _CALL.match(one)) is None:
            continue
        try:
            when = datetime.fromisoformat(named[1])
        except ValueError:
            continue
        times.append(int(when.timestamp()) * 10**9 + when.microsecond * 1000)
    return min(times, default=None)
