"""Tails of distributions as surprise: -ln P(at least this much), in nats.

All are accurate to a few per cent of the surprise, also where the probability itself underflows.
"""

import math
from typing import Final

import numpy as np

from meshwarden.behaviour.compiled import compiled


@compiled
def normal_tail(z: float) -> float:
    """Return -ln P(Z >= z) of a standard normal; 0.69 at 0."""
    if z < 5.0:
        return -math.log(0.5 * math.erfc(z / math.sqrt(2.0)))
    return 0.5 * z * z + math.log(z * math.sqrt(2.0 * math.pi)) + 1.0 / (z * z)


_DEGREES: Final = 3.0  # counts and sizes have heavier tails than any model of them
_STEPS: Final = 64  # of the table, by deviation: 1e-5 nats are lost between two
_LAST: Final = 16.0
_T: Final = np.arange(_LAST * _STEPS + 2) / _STEPS
_SHRUNK: Final = (8.0 * _DEGREES + 1.0) / (8.0 * _DEGREES + 3.0)
_Z: Final = np.sqrt(_DEGREES * np.log1p(_T * _T / _DEGREES)) * _SHRUNK
_TABLE: Final = np.array([-math.log(0.5 * math.erfc(z / math.sqrt(2.0))) for z in _Z])


@compiled
def student_tail(t: float) -> float:
    """Return -ln P(T >= t), t >= 0, of Student's t with 3 degrees of freedom.

    By the normal deviate of Wallace (1959), in a table up to 16: most calls ask several times.
    """
    if t < _LAST:
        place = t * _STEPS
        k = int(place)
        return float(_TABLE[k] + (place - k) * (_TABLE[k + 1] - _TABLE[k]))
    return normal_tail(math.sqrt(_DEGREES * math.log1p(t * t / _DEGREES)) * _SHRUNK)
