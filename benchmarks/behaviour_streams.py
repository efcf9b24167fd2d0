"""Peers with dependencies of their own, run by the Python of another virtual environment.

`PYTHON behaviour_streams.py NAME FEATURES.npy SCORES.npy`, by `behaviour_peers`. Needs numpy and
the peer's library alone. Exit 3: the library is not installed.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

ABSENT: Final = 3
_SEED: Final = 1
_LARGEST: Final = 12.0  # of a log count; half-space trees take features in 0..1
_Rows = np.ndarray[Any, np.dtype[np.float64]]


def half_space_trees(rows: _Rows) -> Iterator[float]:
    """Yield the scores of river's: each row is scored, then learned; its defaults."""
    trees = importlib.import_module("river.anomaly").HalfSpaceTrees(seed=_SEED)
    for row in (rows / np.array([_LARGEST, _LARGEST, _LARGEST, 1.0])).tolist():
        features = dict(enumerate(row))
        yield trees.score_one(features)
        trees.learn_one(features)


def loda(rows: _Rows) -> Iterator[float]:
    """Yield the scores of pysad's LODA: each row is learned, then scored; its defaults."""
    yield from _pysad("LODA", rows)


def xstream(rows: _Rows) -> Iterator[float]:
    """Yield the scores of pysad's xStream, smaller than its defaults, which take hours."""
    yield from _pysad("xStream", rows, num_components=16, n_chains=20, depth=10)


def _pysad(name: str, rows: _Rows, **settings: int) -> Iterator[float]:
    np.random.seed(_SEED)  # pysad draws from the global generator
    model = getattr(importlib.import_module("pysad.models"), name)(**settings)
    for row in rows:
        yield float(np.ravel(model.fit_score_partial(row))[0])


STREAMS: Final[dict[str, Callable[[_Rows], Iterator[float]]]] = {
    "half-space trees": half_space_trees,
    "LODA": loda,
    "xStream": xstream,
}


def main(name: str, features: Path, scores: Path) -> int:
    """Score the rows of `features` and return the exit code."""
    rows: _Rows = np.load(features)
    try:
        given = np.fromiter(STREAMS[name](rows), np.float64, len(rows))
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return ABSENT
    np.save(scores, np.nan_to_num(given))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
