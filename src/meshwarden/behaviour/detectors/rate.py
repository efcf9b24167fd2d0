"""Rate: more calls in this minute, or this hour, than the edge, its source, its destination make.

Log counts of active windows, per key, against a hierarchical normal model: a key's own mean and
spread, shrunk towards those of all keys (empirical Bayes), so that a young key is judged by what is
usual elsewhere. The predictive is Student's t. A count is learned when its window is over,
winsorized, and not at all while its source is alarming.
"""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.detectors.contract import Detector, Surprise
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.settings import Settings
from meshwarden.behaviour.surprise import student_tail

WINDOW = np.dtype(
    [("window", "i4"), ("count", "f4"), ("weight", "f4"), ("mean", "f4"), ("square", "f4")]
)
POOLED = 6  # first windows: weight, mean, square; within keys: weight, square; unused
_MINUTE, _HOUR = 60_000_000_000, 3_600_000_000_000


class Rate(Detector):
    """Calls per minute and hour, by edge, source and destination."""

    name: ClassVar[str] = "rate"
    channels: ClassVar[tuple[str, ...]] = (
        "edge minute", "edge hour", "source minute", "source hour", "destination minute",
        "destination hour",
    )  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        edges, nodes = 1 << settings.edge_bits, 1 << settings.node_bits
        sizes = (edges, edges, nodes, nodes, nodes, nodes)
        self.state = {c: np.zeros(n, WINDOW) for c, n in zip(self.channels, sizes, strict=True)}
        self.state["pooled"] = np.tile(np.array([4.0, 1.0, 8.0, 4.0, 4.0, 0.0]), (6, 1))

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = np.zeros((len(placed), 6), np.float32)
        keys = (placed.edge, placed.source, placed.destination)
        for c, channel in enumerate(self.channels):
            window = (placed.clock // (_MINUTE, _HOUR)[c % 2]).astype(np.int32)
            fresh = placed.fresh[:, (2, 0, 1)[c // 2]]
            _observe(
                keys[c // 2], fresh, placed.source, muted, window,
                self.state[channel], self.state["pooled"][c], out[:, c],
            )  # fmt: skip
        return out


@compiled
def predict(record: Any, pooled: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return mean, deviation and degrees of freedom for the next log count of a key."""
    within = pooled[4] / pooled[3]
    between = max(pooled[2] / pooled[0] - within, 0.1 * within)
    own = (4.0 * within + record.square) / (4.0 + record.weight)
    trust = record.weight / own
    prior = 1.0 / between
    mean = (trust * record.mean + prior * pooled[1]) / (trust + prior)
    return mean, math.sqrt(own + 1.0 / (trust + prior)), 4.0 + min(record.weight, 26.0)


@compiled
def learn(record: Any, pooled: NDArray[np.float64], x: float, cap: float) -> None:
    """Learn the log count of a window that is over."""
    mean, deviation, _ = predict(record, pooled)
    x = min(max(x, mean - 3.0 * deviation), mean + 3.0 * deviation)
    step = x - record.mean
    if record.weight < 1.0:
        pooled[0] += 1.0
        move = x - pooled[1]
        pooled[1] += move / pooled[0]
        pooled[2] += move * (x - pooled[1])
    else:
        pooled[3] += 1.0
        pooled[4] += step * step * record.weight / (record.weight + 1.0)
    for at, most in ((0, 2000.0), (3, 20000.0)):
        if pooled[at] > most:
            shrink = most / pooled[at]
            pooled[at] *= shrink
            pooled[2 if at == 0 else 4] *= shrink
    record.weight += 1.0
    record.mean += step / record.weight
    record.square += step * (x - record.mean)
    if record.weight > cap:
        record.square *= cap / record.weight
        record.weight = cap


@compiled
def _observe(
    key: Any, fresh: Any, source: Any, muted: Any, window: Any, records: Any, pooled: Any, out: Any
) -> None:
    for i in range(key.size):
        record = records[key[i]]
        if fresh[i]:
            record.window, record.count, record.weight = window[i], 0.0, 0.0
            record.mean, record.square = 0.0, 0.0
        if record.window != window[i]:
            if record.count > 0.0 and not muted[source[i]]:
                learn(record, pooled, math.log(record.count), 400.0)
            record.window, record.count = window[i], 0.0
        record.count += 1.0
        mean, deviation, df = predict(record, pooled)
        t = (math.log(record.count) - mean) / deviation
        out[i] = student_tail(t, df) if t > 0.5 else 0.0
