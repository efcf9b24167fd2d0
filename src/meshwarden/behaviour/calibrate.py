"""Calibration: surprise becomes how often a day anything as odd is seen where nothing is wrong.

A group is one edge in one hour. Each channel keeps a decaying histogram of its groups' largest
surprises. The rate at which groups exceed a level is read off it, and beyond the highest per cents
extrapolated by a generalized Pareto tail (peaks over threshold: Pickands 1975; for streams SPOT,
Siffer et al., KDD 2017; here refitted by moments once an hour instead of by likelihood at each
peak). Where little was seen, the prior is that surprises are what they claim to be: exponential,
of scale 1.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled

BINS: Final = 256  # a bin fits in an octet; 64 nats and more are all the same
WIDTH: Final = 0.25
_EDGES: Final = np.arange(BINS) * WIDTH
_PRIOR: Final = 10.0  # groups that the prior is worth
_ASSUMED: Final = _PRIOR * np.exp(-_EDGES)
_TAIL: Final = 0.02  # share of groups beyond which the tail is fitted, not counted


@compiled
def levels(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln of the share of groups with at least surprise `k * WIDTH`, for each bin.

    Args:
        histogram: decayed number of groups by their largest surprise.
    """
    above, sum_above = np.empty(BINS), 0.0
    for k in range(BINS - 1, -1, -1):
        sum_above += histogram[k]
        above[k] = sum_above + _ASSUMED[k]
    result, at = np.empty(BINS), 0
    while at < BINS - 1 and above[at] / above[0] > _TAIL:
        result[at] = math.log(above[at] / above[0])
        at += 1
    result[at] = math.log(above[at] / above[0])
    shape, scale = _tail(histogram, at)
    for k in range(at + 1, BINS):
        far = _EDGES[k] - _EDGES[at]
        tail = -math.log1p(shape * far / scale) / shape if shape >= 1e-6 else -far / scale
        result[k] = result[at] + tail
    return result


@compiled
def _tail(histogram: NDArray[np.float64], at: int) -> tuple[float, float]:
    """Return shape and scale of the tail from a bin on, by moments.

    The prior's exceedances are pseudo observations of an exponential of scale 1.
    """
    n, mean, square = 0.0, 0.0, 0.0
    for k in range(at, BINS):
        excess = max(_EDGES[k] + WIDTH / 2 - _EDGES[at], 0.0)
        n += histogram[k]
        mean += histogram[k] * excess
        square += histogram[k] * excess * excess
    n += _PRIOR
    mean, square = (mean + _PRIOR) / n, (square + 2.0 * _PRIOR) / n
    variance = max(square - mean * mean, 1e-3)
    shape = min(max(0.5 * (1.0 - mean * mean / variance), 0.0), 0.5)
    return shape, mean * (1.0 - shape)


@compiled
def fit(histograms: NDArray[np.float64], level: NDArray[np.float64]) -> None:
    """Set each row of `level` to the `levels` of its histogram."""
    for row in range(histograms.shape[0]):
        level[row] = levels(histograms[row])


@compiled
def read(level: Any, row: int, surprise: float) -> Any:
    """Return ln of the share of groups at `surprise`, between the bins by a straight line.

    A loop does it in the two steps itself: an array that is handed on has its references counted.
    """
    k, beyond = place_of(surprise)
    return line(level[row, k], level[row, k + 1], beyond)


@compiled
def place_of(surprise: float) -> tuple[int, float]:
    """Return the bin of a surprise, at most the last but one, and by how many bins it is beyond."""
    place = surprise / WIDTH
    if not place > 0.0:
        return 0, 0.0
    k = int(min(place, BINS - 2.0))
    return k, place - k


@compiled
def line(here: Any, there: Any, beyond: float) -> Any:
    """Return the level so many bins beyond one that has the level `here`, the next one `there`."""
    if beyond <= 1.0:
        return here + (there - here) * beyond
    return there + min(there - here, -1e-3) * (beyond - 1.0)


@compiled
def bin_of(surprise: float) -> int:
    """Return the bin of a surprise."""
    if not surprise > 0.0:
        return 0
    return int(min(surprise / WIDTH, BINS - 1.0))
