"""What someone declared, as values: a policy as prior knowledge.

The model does not know policies; it asks whoever it was given.
"""

from typing import Final, Protocol

import numpy as np

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import Array
from meshwarden.behaviour.ground import AS_SOURCE

ALLOWED, GRACE, DENIED = 1, 2, -1  # 0: unknown
RELEASE: Final = np.dtype([("key", "u8"), ("since", "i8")])
_CALLED: Final = -1  # as `since`: called somebody before its release was known to change
_GRACE_HOURS: Final = 24
_GRACE_NS: Final = _GRACE_HOURS * 3_600_000_000_000
_RIPE_HOURS: Final = 7 * 24  # then every hour of the day and every day of the week was seen once


class Declared(Protocol):
    """An access policy, as far as the model cares."""

    def allows(
        self, source: str, destination: str, method: str | None, route: str | None
    ) -> bool | None:
        """Return whether the call is declared; None where nothing is said about its parties."""
        ...


@compiled
def in_grace(
    source: Array, fresh: Array, release: Array, clock: Array, known: Array, out: Array
) -> None:
    """Mark calls of sources whose release changed within a day; the first one seen is no change.

    But it is where the source was called before and never called anybody: that is what is new then.
    """
    for i in range(source.size):
        record = known[source[i]]
        if fresh[i, 0]:
            record.key, record.since = 0, _CALLED
        elif fresh[i, AS_SOURCE]:
            record.key, record.since = 0, 0
        if release[i] == 0 and record.key == 0:
            record.since = _CALLED
        elif release[i] != 0 and release[i] != record.key:
            changed = record.key != 0 or record.since != _CALLED
            record.since = clock[i] if changed else _CALLED
            record.key = release[i]
        out[i] = release[i] != 0 and record.since > 0 and clock[i] - record.since < _GRACE_NS


@compiled
def expect(
    edge: Array, fresh: Array, stance: Array, hour: Array, since: Array, expected: Array,
    graced: Array, renewed: Array, ripeness: Array,
) -> None:  # fmt: skip
    """Mark calls of edges that a release brought, or gave a new service, as its policy declares.

    Args:
        edge: number of each call's edge.
        fresh: bool[n, 7], see `Placed`.
        stance: of the policy on what is new.
        hour: of each call.
        since: by edge, the hour in which a release brought it; 0 where none did; less than 0, the
            hour in which one gave a known edge a new service.
        expected: becomes true where one brought it.
        graced: becomes true where that, or the new service, is less than a week old.
        ripeness: becomes what its surprises count: nothing in the first day, then its share of the
            week.
        renewed: becomes true where a known edge is given a new service.
    """
    for i in range(edge.size):
        last = since[edge[i]]
        if fresh[i, 2]:
            since[edge[i]] = hour[i] if stance[i] == GRACE else 0
        elif fresh[i, 4] and stance[i] == GRACE and hour[i] - abs(last) >= _GRACE_HOURS:
            since[edge[i]] = hour[i] if last > 0 else -hour[i]
            renewed[i] = True
        expected[i] = since[edge[i]] > 0
        began = abs(since[edge[i]])
        age = hour[i] - began
        graced[i] = began > 0 and age < _RIPE_HOURS
        if graced[i]:
            ripeness[i] = age / _RIPE_HOURS if age >= _GRACE_HOURS else 0.0
