"""Peers of the behaviour model: each gives a score per call.

MIDAS-R and MIDAS-F after Bhatia et al. (AAAI 2020; "Real-time anomaly detection in edge streams",
TKDD 2022), reimplemented: count-min sketches of 2 x 1024, ticks of a minute, decay 0.5, threshold
1000. The threshold random walk alone, and an allow-list frozen after the first quarter. Half-space
trees from river, LODA and xStream from pysad, by the Python of a virtual environment of their own
(`MESHWARDEN_PEERS`, else /tmp/peers; `python -m venv /tmp/peers && /tmp/peers/bin/pip install river
pysad`), on four features of each edge and minute, whose score all calls of that minute get.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import behaviour_streams
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


def _features(calls: Labelled) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return one row for each edge and minute, in order, and which of them each call belongs to.

    The row has log counts of the edge's, its source's and its destination's calls in that minute,
    and whether the edge is new.
    """
    source, destination, tick = _codes(calls)
    edge = source * (int(destination.max()) + 1) + destination
    columns = [np.log1p(_running(key, tick)) for key in (edge, source, destination)]
    first = np.zeros(len(edge))
    first[np.unique(edge, return_index=True)[1]] = 1.0
    _, begins, of = np.unique(
        np.stack([tick, edge]), axis=1, return_index=True, return_inverse=True
    )
    order = np.argsort(begins)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    of = place[of.reshape(-1)]
    rows = np.zeros((len(order), 4))
    np.maximum.at(rows, of, np.column_stack([*columns, first]))
    return rows, of


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


def _elsewhere(name: str, calls: Labelled) -> Scores | None:
    """Return the scores of a peer that runs elsewhere; None where it is not installed."""
    python = Path(os.environ.get("MESHWARDEN_PEERS", "/tmp/peers")) / "bin" / "python"  # noqa: S108
    if not python.exists():
        return None
    rows, of = _features(calls)
    with tempfile.TemporaryDirectory() as folder:
        features, scores = Path(folder, "features.npy"), Path(folder, "scores.npy")
        np.save(features, rows)
        command = [str(python), behaviour_streams.__file__, name, str(features), str(scores)]
        ended = subprocess.run(command, check=False)
        if ended.returncode == behaviour_streams.ABSENT:
            return None
        ended.check_returncode()
        given: Scores = np.load(scores)
    return given[of]


PEERS: Final[dict[str, Callable[[Labelled], Scores | None]]] = {
    "MIDAS-F": midas_f,
    "MIDAS-R": midas_r,
    "threshold random walk": walk,
    "frozen allow-list": frozen,
    **{name: partial(_elsewhere, name) for name in behaviour_streams.STREAMS},
}
