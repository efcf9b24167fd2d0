"""Peers of the behaviour model: each gives a score per call.

MIDAS-R and MIDAS-F after Bhatia et al. (AAAI 2020; "Real-time anomaly detection in edge streams",
TKDD 2022), reimplemented: count-min sketches of 2 x 1024, ticks of a minute, decay 0.5, threshold
1000. The threshold random walk alone, and an allow-list frozen after the first quarter. Half-space
trees from river, LODA and xStream from pysad, where installed, on four features of a call.
"""

import importlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.behaviour_data import Labelled
from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.detectors.scan import Scan
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.ground import Ground
from meshwarden.behaviour.settings import Settings

_MINUTE: Final = 60_000_000_000
_ROWS, _BUCKETS = 2, 1024
Scores = NDArray[np.float64]


@compiled
def _midas(source: Any, destination: Any, tick: Any, filtering: bool) -> Any:
    """Return MIDAS-R's score of each call, or MIDAS-F's."""
    prime = 2_147_483_647
    seeds = np.array(
        [[48_271, 11], [69_621, 97], [16_807, 313], [39_373, 7], [40_014, 5], [40_692, 3]]
    )
    now = np.zeros((3, _ROWS, _BUCKETS))
    total = np.zeros((3, _ROWS, _BUCKETS))
    kept = np.zeros((3, _ROWS, _BUCKETS))
    score = np.zeros(source.size)
    last, t = tick[0], 1.0
    place = np.zeros((3, _ROWS), np.int64)
    for i in range(source.size):
        if tick[i] != last:
            if filtering:
                for k in range(3):
                    for r in range(_ROWS):
                        for b in range(_BUCKETS):
                            if kept[k, r, b] < 1000.0:
                                total[k, r, b] += now[k, r, b]
                            elif t > 1.0:
                                total[k, r, b] += total[k, r, b] / (t - 1.0)
            now *= 0.5
            t += float(tick[i] - last)
            last = tick[i]
        best = 0.0
        for k in range(3):
            key = (
                (source[i] * 400 + destination[i])
                if k == 0
                else source[i]
                if k == 1
                else destination[i]
            )
            a, s = 1e18, 1e18
            for r in range(_ROWS):
                seed = seeds[k * 2 + r]
                place[k, r] = ((key * seed[0] + seed[1]) % prime) % _BUCKETS
                now[k, r, place[k, r]] += 1.0
                if not filtering:
                    total[k, r, place[k, r]] += 1.0
                a = min(a, now[k, r, place[k, r]])
                s = min(s, total[k, r, place[k, r]])
            if filtering:
                value = (a + s - a * t) ** 2 / (s * max(t - 1.0, 1.0)) if s > 0.0 else 0.0
            else:
                value = (a - s / t) ** 2 * t * t / (s * (t - 1.0)) if s > 0.0 and t > 1.0 else 0.0
            for r in range(_ROWS):
                kept[k, r, place[k, r]] = value
            best = max(best, value)
        score[i] = best
    return score


def _codes(calls: Labelled) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    encoded = encode(calls.table)
    parties = np.unique(np.concatenate([encoded.source, encoded.destination]), return_inverse=True)[
        1
    ]
    n = len(encoded)
    return parties[:n].astype(np.int64), parties[n:].astype(np.int64), encoded.time // _MINUTE


def midas_r(calls: Labelled) -> Scores:
    """Return MIDAS-R's scores."""
    scores: Scores = _midas(*_codes(calls), False)
    return scores


def midas_f(calls: Labelled) -> Scores:
    """Return MIDAS-F's scores."""
    scores: Scores = _midas(*_codes(calls), True)
    return scores


def walk(calls: Labelled) -> Scores:
    """Return the height of each source's threshold random walk."""
    settings = Settings()
    encoded = encode(calls.table)
    placed = Ground(settings).place(encoded, np.maximum.accumulate(encoded.time))
    nobody = np.zeros(1 << settings.node_bits, np.bool_)
    heights: Scores = Scan(settings).observe(placed, nobody)[0].astype(np.float64)
    return heights


def frozen(calls: Labelled) -> Scores:
    """Return 1 for edges that the first quarter of the calls did not have."""
    source, destination, _ = _codes(calls)
    edge = source * (int(destination.max()) + 1) + destination
    strange: Scores = (~np.isin(edge, edge[: len(edge) // 4])).astype(np.float64)
    return strange


def _features(calls: Labelled) -> NDArray[np.float64]:
    """Return log counts of edge, source and destination in the minute, and whether it is new."""
    source, destination, tick = _codes(calls)
    edge = source * (int(destination.max()) + 1) + destination
    columns = [np.log1p(_running(key, tick)) for key in (edge, source, destination)]
    first = np.zeros(len(edge))
    first[np.unique(edge, return_index=True)[1]] = 1.0
    return np.column_stack([*columns, first])


@compiled
def _running_counts(key: Any, tick: Any) -> Any:
    count, seen = np.zeros(key.max() + 1), np.full(key.max() + 1, -1)
    out = np.zeros(key.size)
    for i in range(key.size):
        if seen[key[i]] != tick[i]:
            seen[key[i]], count[key[i]] = tick[i], 0.0
        count[key[i]] += 1.0
        out[i] = count[key[i]]
    return out


def _running(key: NDArray[np.int64], tick: NDArray[np.int64]) -> NDArray[np.float64]:
    counts: NDArray[np.float64] = _running_counts(np.unique(key, return_inverse=True)[1], tick)
    return counts


def half_space_trees(calls: Labelled) -> Scores | None:
    """Return river's HalfSpaceTrees, learning all the time; None where river is missing."""
    try:
        anomaly = importlib.import_module("river.anomaly")
    except ImportError:
        return None
    trees = anomaly.HalfSpaceTrees(seed=1)
    rows = _features(calls) / np.array([12.0, 12.0, 12.0, 1.0])
    out = np.zeros(len(rows))
    for i, row in enumerate(rows.tolist()):
        features = dict(enumerate(row))
        out[i] = trees.score_one(features)
        trees.learn_one(features)
    return out


def _pysad(name: str) -> Callable[[Labelled], Scores | None]:
    def score(calls: Labelled) -> Scores | None:
        try:
            models = importlib.import_module("pysad.models")
        except ImportError:
            return None
        model = getattr(models, name)()
        return np.array([float(model.fit_score_partial(row)) for row in _features(calls)])

    return score


PEERS: Final[dict[str, Callable[[Labelled], Scores | None]]] = {
    "MIDAS-F": midas_f,
    "MIDAS-R": midas_r,
    "threshold random walk": walk,
    "frozen allow-list": frozen,
    "half-space trees": half_space_trees,
    "LODA": _pysad("LODA"),
    "xStream": _pysad("xStream"),
}
