"""From the surprises of one call to one rate: groups, families, all; see `alarms`."""

import math
from typing import Any, Final

import numpy as np

from meshwarden.behaviour.calibrate import bin_of, line, place_of, read
from meshwarden.behaviour.compiled import compiled

MOST_ROWS: Final = 43
MOST_FAMILIES: Final = 11
_FINE: Final = 256.0  # parts of a nat in which a group keeps its highest: there are many groups
_HIGHEST: Final = 65_535.0
GROUP: Final = np.dtype(
    [
        ("hour", "i4"),
        ("alarm", "u1"),
        ("born", "i4"),
        ("tail", "u1"),  # groups in the tail taught today
        ("day", "i4"),
        ("until", "i8"),  # last alarm, ns
        ("level", "f4"),  # alarms of the past day, faded
        ("kinds", "i2"),  # bits: families in which they were raised
        ("said", "f4"),  # by how many nats the last one was rarer than the budget asks
        ("source", "i4"),
        ("destination", "i4"),
        ("best", "u2", (MOST_FAMILIES,)),  # by family: its highest channel so far, and which
        ("which", "i1", (MOST_FAMILIES,)),
        ("most", "u1", (MOST_ROWS,)),  # by row (channels, families, all): bin of the highest so far
    ]
)


@compiled
def enter(
    groups: Any, number: int, fresh: bool, hour: int, opened: Any, counts: Any, kind: int,
    source: int, destination: int,
) -> None:  # fmt: skip
    """Begin the group of this hour; the call is its first."""
    group = groups[number]
    if fresh:
        group.until, group.level, group.said, group.tail = 0, 0.0, 0.0, 0
        group.born = hour
    if fresh or group.hour != hour:
        if group.hour != hour:
            opened[counts[kind]] = number
            counts[kind] += 1
        group.hour, group.alarm = hour, 0
        group.source, group.destination = source, destination
        group.most[:] = 0
        group.best[:] = 0


@compiled
def speaking(surprise: Any, channels: Any, bits: Any, again: Any) -> None:
    """Set, in the `bits` of each call, the one of each of `channels` that speaks.

    Where one says something else than at the call before, `again` becomes false.
    """
    for c in channels:
        bit, before = np.int64(1) << c, np.float32(-1.0)
        for i in range(bits.size):
            x = surprise[c, i]
            if x > 0.0:
                bits[i] |= bit
            if x != before:
                again[i] = False
            before = x


@compiled
def _channels(
    surprise: Any, i: int, bits: int, subjects: Any, family: Any, level: Any, base: Any, group: Any,
    source: Any, destination: Any, total: Any,
) -> None:  # fmt: skip
    total[:] = 0.0
    for c in range(family.size):
        if bits >> c == 0:
            return
        if not (bits >> c) & 1:
            continue
        x = surprise[c, i]
        kind = subjects[c]
        own = group if kind == 0 else source if kind == 1 else destination
        own.most[c] = max(own.most[c], bin_of(x))
        k, beyond = place_of(x)
        z = max(base[kind] - line(level[c, k], level[c, k + 1], beyond), 0.0)
        f = family[c]
        total[f] += z * z
        rank = int(min(z * _FINE, _HIGHEST))
        if rank > group.best[f]:
            group.best[f] = rank
            group.which[f] = c


@compiled
def combine(
    surprise: Any, i: int, bits: int, subjects: Any, family: Any, level: Any, base: Any,
    usual: float, group: Any, source: Any, destination: Any, total: Any,
) -> tuple[float, int]:  # fmt: skip
    """Return ln of how many groups a day are at least as odd as call `i`, and its first channel.

    Args:
        surprise: float32[channels, n], nats.
        i: the call.
        bits: which channels speak, see `speaking`.
        subjects: by row: 0 edge, 1 source, 2 destination.
        family: of each channel.
        level: by row, ln shares by bin (`calibrate.levels`).
        base: by subject, ln of edges' groups a day over its own.
        usual: ln of groups of edges a day.
        group: of the call's edge.
        source: group of its source.
        destination: group of its destination.
        total: room for one number per family.
    """
    last = subjects.size - 1
    if bits == 0:
        return read(level, last, 0.0) + usual, -1
    _channels(surprise, i, bits, subjects, family, level, base, group, source, destination, total)
    inverse, top, best = 0.0, 0.0, -1
    for f in range(total.size):
        if total[f] <= 0.0:
            continue
        row = family.size + f
        x = math.sqrt(total[f])
        group.most[row] = max(group.most[row], bin_of(x))
        k, beyond = place_of(x)
        z = max(-line(level[row, k], level[row, k + 1], beyond), 0.0)
        inverse += math.exp(min(z, 300.0))
        if z > top:
            top, best = z, group.which[f]
    combined = max(math.log(inverse / total.size), 0.0) if inverse > 0.0 else 0.0
    group.most[last] = max(group.most[last], bin_of(combined))
    return read(level, last, combined) + usual, best
