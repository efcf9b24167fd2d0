"""Rhythm: calls at even intervals on an edge that is young or rare.

Beacons call home by the clock. So do health probes, which is why only edges younger than a few days
count, and why the edge must be one of few callers' of its destination. Log intervals between bursts
of calls: their running mean and spread; `n` intervals whose spread is `c` have, if intervals were
exponential, a chance of about ``c**n`` (many logs round times to seconds or minutes, so an interval
counts only above ten times the grain that the clock has shown; `c` is never below 0.05).
"""

import math
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import Array
from meshwarden.behaviour.detectors.contract import Detector, Surprise
from meshwarden.behaviour.ground import AS_DESTINATION, Placed
from meshwarden.behaviour.settings import Settings

BEAT: Final = np.dtype(
    [
        ("last", "i8"),  # ns
        ("n", "f4"),
        ("mean", "f4"),
        ("square", "f4"),
    ]
)
_SECOND: Final = 1_000_000_000
_YOUNG: Final = 72  # hours
_LEAST_BEATS: Final = 8.0


class Rhythm(Detector):
    """Even intervals on young edges."""

    name: ClassVar[str] = "rhythm"
    channels: ClassVar[tuple[str, ...]] = ("even intervals",)
    families: ClassVar[tuple[str, ...]] = ("rhythm",)
    subjects: ClassVar[tuple[int, ...]] = (0,)
    tables: ClassVar[dict[str, str]] = {"beats": "edges", "callers": "nodes"}

    def __init__(self, settings: Settings) -> None:
        self.state = {
            "beats": np.zeros(1 << settings.edge_bits, BEAT),
            "callers": np.zeros(1 << settings.node_bits, np.int32),
            "clock": np.zeros(3, np.int64),  # first time, last time, grain
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        del muted  # nothing is learned here that could excuse anyone
        out = np.zeros((1, len(placed)), np.float32)
        s = self.state
        _beat(
            placed.edge, placed.destination, placed.fresh, placed.clock, placed.hour, placed.age,
            s["beats"], s["callers"], s["clock"], out[0],
        )  # fmt: skip
        out[0, placed.expected] = 0.0
        return out


@compiled
def _beat(
    edge: Array, destination: Array, fresh: Array, clock: Array, hour: Array, age: Array,
    beats: Array, callers: Array, times: Array, out: Array,
) -> None:  # fmt: skip
    if times[0] == 0 and clock.size:
        times[0] = times[1] = clock[0]
        times[2] = 3600 * _SECOND
    for i in range(edge.size):
        if clock[i] > times[1]:
            times[2] = min(times[2], max(clock[i] - times[1], _SECOND))
            times[1] = clock[i]
        beat = beats[edge[i]]
        if fresh[i, AS_DESTINATION]:
            callers[destination[i]] = 0
        if fresh[i, 2]:
            beat.last = clock[i]
            beat.n = beat.mean = beat.square = 0.0
            callers[destination[i]] += 1
            continue
        gap = clock[i] - beat.last
        if (
            age[i] > _YOUNG
            or hour[i] - age[i] - times[0] // (3600 * _SECOND) < _YOUNG // 3
            or gap < 10 * times[2]
        ):
            continue
        beat.last = clock[i]
        x = math.log(gap / _SECOND)
        beat.n += 1.0
        step = x - beat.mean
        beat.mean += step / beat.n
        beat.square += step * (x - beat.mean)
        if beat.n >= _LEAST_BEATS and callers[destination[i]] <= 2:
            spread = max(math.sqrt(max(beat.square, 0.0) / beat.n), 0.05)  # float32 rounds
            surprise = -math.log(min(spread, 1.0)) * min(beat.n - 4.0, 20.0)
            out[i] = surprise if surprise > 3.0 else 0.0
