"""Scan: first contacts that fail, one after the other.

Threshold random walk (Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection Using Sequential
Hypothesis Testing, IEEE S&P 2004): each *first* use of a service by a source succeeds with
probability 0.8 where it is benign and 0.2 where it scans; the walk sums the log likelihood ratios
and never falls below 0. By Wald's identity the chance that a benign source ever climbs to `h` is at
most ``e**-h``, so the walk itself is a surprise in nats. Departures from the paper: the walk halves
in a day instead of ending at a verdict, so that slow scans add up; and the share of failing first
contacts among everyone replaces 0.2 for benign sources where it is higher, so that a network full
of dead names does not accuse everyone.

Vertical scans (many services of one destination) and horizontal ones (one service of many) are both
first uses. Where calls do not say whether they failed, the walk stands still. It speaks at the
first contact that fails and at no other call: what the source does besides is no sign of a scan.
"""

import math
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import Array
from meshwarden.behaviour.detectors.contract import Detector, Surprise
from meshwarden.behaviour.ground import AS_SOURCE, Placed
from meshwarden.behaviour.outcomes import ANSWERED
from meshwarden.behaviour.settings import Settings

WALK: Final = np.dtype([("time", "i8"), ("height", "f4")])
_HIT_SCAN, _HIT_BENIGN = 0.2, 0.8
_DAY: Final = 86_400_000_000_000
_MOST: Final = 60.0


class Scan(Detector):
    """The walk of each source."""

    name: ClassVar[str] = "scan"
    channels: ClassVar[tuple[str, ...]] = ("failing first contacts",)
    families: ClassVar[tuple[str, ...]] = ("scan",)
    subjects: ClassVar[tuple[int, ...]] = (1,)
    tables: ClassVar[dict[str, str]] = {"walks": "nodes"}

    def __init__(self, settings: Settings) -> None:
        self.state = {
            "walks": np.zeros(1 << settings.node_bits, WALK),
            "failing": np.array([1.0, 10.0]),
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = np.zeros((1, len(placed)), np.float32)
        first = placed.fresh[:, 2] | placed.fresh[:, 4]
        _walk(
            placed.source, placed.fresh[:, AS_SOURCE], first, placed.calls.outcome, placed.clock,
            muted[placed.source], self.state["walks"], self.state["failing"], out[0],
        )  # fmt: skip
        return out


@compiled
def _walk(
    source: Array, fresh: Array, first: Array, outcome: Array, clock: Array, mute: Array,
    walks: Array, failing: Array, out: Array,
) -> None:  # fmt: skip
    for i in range(source.size):
        walk = walks[source[i]]
        if fresh[i]:
            walk.height = 0.0
        if first[i] and outcome[i] >= ANSWERED:
            failed = outcome[i] > ANSWERED
            usual = min(max(failing[0] / failing[1], 1.0 - _HIT_BENIGN), 0.7)
            walk.height *= 0.5 ** ((clock[i] - walk.time) / _DAY)
            walk.time = clock[i]
            if failed:
                step = math.log((1.0 - _HIT_SCAN) / usual)
            else:
                step = math.log(_HIT_SCAN / (1.0 - usual))
            walk.height = min(max(walk.height + step, 0.0), _MOST)
            if not mute[i]:
                failing[0] = failing[0] * 0.999 + failed
                failing[1] = failing[1] * 0.999 + 1.0
            if failed and walk.height > 1.0:
                out[i] = walk.height
