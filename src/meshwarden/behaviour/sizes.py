"""Sizes: has this call more octets than such calls have?

Log octets of each key's calls (a service that one uses of another) under a normal model: the key's
own mean and spread, the spread never below that of all keys together; a young key is judged
by what is sent to the same service, or, at its very first call, by what its caller sends at all
(empirical Bayes: how far keys lie apart is estimated as it goes). The predictive is Student's t
with 3 degrees of freedom: sizes have heavier tails than any model of them. What is learned is
winsorized at 3 deviations. An hour has as many chances to be odd as it has calls, so a call's
surprise is less by the logarithm of how many there were so far: over an hour of n calls it is said
1 + 1/2 + ... + 1/n times as often as one call's share (some 7 times for a thousand).
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.surprise import student_tail

SIZE: Final = np.dtype([("weight", "u2"), ("mean", "f4"), ("square", "f4")])
TALLY: Final = np.dtype([("hour", "i4"), ("calls", "u2")])
SIZES: Final = np.dtype(
    [  # what all keys have in common
        ("keys", "f8"),  # first calls: how many, their mean and squared residuals
        ("mean", "f8"),
        ("scatter", "f8"),
        ("calls", "f8"),  # later ones: how many, and squared residuals
        ("squares", "f8"),
    ]
)
_AT_FIRST: Final = (4.0, 6.0, 8.0, 4.0, 4.0)
_MEMORY: Final = 400.0  # calls of a key
_SHARED_MEMORY: Final = 20.0  # calls of a service, or a caller
_KEYS, _CALLS = 2000.0, 20_000.0  # memory of what all have in common
_PRIOR: Final = 4.0  # calls that it is worth
_LEAST_SPREAD: Final = 0.01
_WINSOR: Final = 3.0
_FULL: Final = 65_535
_LEAST: Final = 1.0  # nats; less is nothing
_USUAL: Final = 0.3  # deviations; so few are less than that


def sizes() -> NDArray[Any]:
    """Return what is assumed of all keys: SIZES[1]."""
    return np.array([_AT_FIRST], SIZES)


@compiled
def _learn(record: Any, pool: Any, x: float, off: float) -> None:
    """Learn one call: what it was, winsorized, and by how much it missed what was predicted."""
    if record.weight < 1.0:
        pool.mean += (x - pool.mean) / (pool.keys + 1.0)
        pool.keys += 1.0
        pool.scatter += off * off
        if pool.keys > _KEYS:
            pool.scatter *= _KEYS / pool.keys
            pool.keys = _KEYS
    else:
        square = (x - record.mean) ** 2 * record.weight / (record.weight + 1.0)
        pool.calls += 1.0
        pool.squares += square
        if pool.calls > _CALLS:
            pool.squares *= _CALLS / pool.calls
            pool.calls = _CALLS
        record.square += square
    weight = record.weight + 1.0
    record.mean += (x - record.mean) / weight
    if weight > _MEMORY:
        record.square *= _MEMORY / weight
    record.weight = min(weight, _MEMORY)


@compiled
def tally(each: Any, hour: int, fresh: bool, known: bool) -> float:
    """Count a call whose size is known, and return how many of this hour there are: 65,535 at most.

    Nothing is written before the first.
    """
    if fresh or (known and each.hour != hour):
        each.hour, each.calls = hour, 0
    if known:
        each.calls = min(each.calls + 1, _FULL)
    return float(each.calls)


@compiled
def size(
    record: Any, mute: bool, octets: float, calls: float, pool: Any, near: Any, far: Any
) -> float:
    """Return the surprise of a call's octets, and learn them.

    Args:
        record: of SIZE, the key's.
        mute: whether nothing is learned.
        octets: at least 0.
        calls: of the key in this hour, this one among them.
        pool: of SIZES.
        near: of LEVEL: of those who use the same service.
        far: of LEVEL: of the same caller; asked where `near` knows nothing.
    """
    x = math.log(octets + 1.0)
    usual = max(pool.squares / pool.calls, _LEAST_SPREAD)
    own = max((_PRIOR * usual + record.square) / (_PRIOR + record.weight), usual)
    like = near if near.weight > 0.0 else far
    prior = (_PRIOR * pool.mean + like.weight * like.mean) / (_PRIOR + like.weight)
    doubt = 1.0 / max(pool.scatter / pool.keys - usual, 0.1 * usual)
    trust = record.weight / own
    center = (trust * record.mean + doubt * prior) / (trust + doubt)
    deviation = math.sqrt(own + 1.0 / (trust + doubt))
    t = (x - center) / deviation
    if not mute:
        x = min(max(x, center - _WINSOR * deviation), center + _WINSOR * deviation)
        _learn(record, pool, x, x - center)
        for level in (near, far):
            level.weight = min(level.weight + 1.0, _SHARED_MEMORY)
            level.mean += (x - level.mean) / level.weight
    if t < _USUAL:
        return 0.0
    tail: float = student_tail(t) - math.log(calls)
    return tail if tail > _LEAST else 0.0
