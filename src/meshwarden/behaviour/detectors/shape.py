"""Payload shape: refusals and errors where there are usually none, and bodies of another structure.

- Failures: a run of failed calls on a edge. Each call fails with a
  probability of its own (Beta, shrunk towards everyone's); a run's surprise is that of a
  Beta-binomial with few effective observations, for failures come in bursts. What everyone's
  are is learned when the hour is over: a run is not its own excuse.
- Structure: where a source carries `shape` (OpenTelemetry and CSV can, Envoy's log does not), the
  chance of a never seen structure on an edge that was seen often: Laplace's rule of succession.
"""

import math
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import Array
from meshwarden.behaviour.detectors.contract import Detector, Surprise
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.settings import Settings
from meshwarden.behaviour.tables import pair

FAILING: Final = np.dtype(
    [("hour", "i4"), ("bad", "f4"), ("good", "f4"), ("past_bad", "f4"), ("past", "f4")]
)
SHAPES: Final = np.dtype([("seen", "f4"), ("kinds", "f4"), ("bits", "u8")])
_FADE: Final = 0.98
_SPREAD: Final = 2.0  # effective observations of the prior: failures come in bursts
_MOST_PAST: Final = 200.0
_BAD, _SEEN = 1.0, 20.0  # failed calls, and all, that are assumed of everyone before any
_LEAST_BAD, _LEAST_SEEN = 0.5, 50.0  # the same of an edge, at least: no history rules failures out


class Shape(Detector):
    """Bursts of failures, and new structures of bodies."""

    name: ClassVar[str] = "shape"
    channels: ClassVar[tuple[str, ...]] = ("failures", "body structure")
    families: ClassVar[tuple[str, ...]] = ("failures", "body structure")
    subjects: ClassVar[tuple[int, ...]] = (0, 0)
    tables: ClassVar[dict[str, str]] = {"edges": "edges", "shapes": "edges"}

    def __init__(self, settings: Settings) -> None:
        self.state = {
            "edges": np.zeros(1 << settings.edge_bits, FAILING),
            "all": np.zeros(2),  # failed calls, and all, of the past
            "shapes": np.zeros(1 << settings.edge_bits, SHAPES),
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = np.zeros((2, len(placed)), np.float32)
        mute = muted[placed.source] | muted[placed.destination]
        s, calls = self.state, placed.calls
        if (calls.failed >= 0).any():
            _failures(
                placed.edge, placed.fresh[:, 2], calls.failed, placed.hour, mute, s["edges"],
                s["all"], out[0],
            )  # fmt: skip
        if calls.shape.any():
            _structures(
                placed.edge,
                placed.fresh[:, 2],
                calls.service,
                calls.shape,
                mute,
                s["shapes"],
                out[1],
            )
        return out


@compiled
def _run(bad: float, good: float, alpha: float, beta: float) -> float:
    """Return -ln of the Beta-binomial chance of so many failures among so many calls."""
    n = bad + good
    log_p = (
        math.lgamma(alpha + bad) - math.lgamma(alpha)
        + math.lgamma(beta + good) - math.lgamma(beta)
        - math.lgamma(alpha + beta + n) + math.lgamma(alpha + beta)
        + math.lgamma(n + 1.0) - math.lgamma(bad + 1.0) - math.lgamma(good + 1.0)
    )  # fmt: skip
    return max(-log_p - math.log(n + 1.0), 0.0)


@compiled
def _failures(
    edge: Array, fresh: Array, failed: Array, hour: Array, mute: Array, edges: Array,
    everyone: Array, out: Array,
) -> None:  # fmt: skip
    for i in range(edge.size):
        record = edges[edge[i]]
        if fresh[i]:
            record.bad = record.good = record.past_bad = record.past = 0.0
            record.hour = hour[i]
        if record.hour != hour[i]:
            if not mute[i]:
                keep = 1.0 if record.past < _MOST_PAST else _FADE
                bad, good = min(record.bad, 20.0), min(record.good, 20.0)
                record.past_bad = record.past_bad * keep + bad
                record.past = record.past * keep + bad + good
                stay = 0.9995 ** (bad + good)
                everyone[0] = everyone[0] * stay + bad
                everyone[1] = everyone[1] * stay + bad + good
            record.bad = record.good = 0.0
            record.hour = hour[i]
        if failed[i] >= 0:
            record.bad += failed[i]
            record.good += 1 - failed[i]
        usual = (_BAD + everyone[0]) / (_SEEN + everyone[1])
        rate = (_SPREAD * usual + record.past_bad) / (_SPREAD + record.past)
        rate = max(rate, _LEAST_BAD / (_LEAST_SEEN + record.past))
        n = record.bad + record.good
        if record.bad > n * rate + 1.0:
            surprise = _run(record.bad, record.good, _SPREAD * rate, _SPREAD * (1.0 - rate))
            out[i] = surprise if surprise > 1.0 else 0.0


@compiled
def _structures(
    edge: Array, fresh: Array, service: Array, shape: Array, mute: Array, records: Array, out: Array
) -> None:
    """Remember structures in a Bloom filter of 64 bits and two hashes per edge."""
    for i in range(edge.size):
        record = records[edge[i]]
        if fresh[i]:
            record.seen, record.kinds, record.bits = 0.0, 0.0, 0
        if shape[i] == 0:
            continue
        key = pair(service[i], shape[i])
        mask = (np.uint64(1) << (key & np.uint64(63))) | (
            np.uint64(1) << ((key >> np.uint64(6)) & np.uint64(63))
        )
        if (record.bits & mask) != mask:
            out[i] = max(math.log((record.seen + 2.0) / (record.kinds + 1.0)), 0.0)
            if not mute[i]:
                record.bits |= mask
                record.kinds += 1.0
        if not mute[i]:
            record.seen = min(record.seen + 1.0, 1e6)
