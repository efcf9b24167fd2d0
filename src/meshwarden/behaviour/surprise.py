"""Tails of distributions as surprise: -ln P(at least this much), in nats.

All are accurate to a few per cent of the surprise, also where the probability itself underflows.
"""

import math

from meshwarden.behaviour.compiled import compiled


@compiled
def normal_tail(z: float) -> float:
    """Return -ln P(Z >= z) of a standard normal; 0.69 at 0."""
    if z < 5.0:
        return -math.log(0.5 * math.erfc(z / math.sqrt(2.0)))
    return 0.5 * z * z + math.log(z * math.sqrt(2.0 * math.pi)) + 1.0 / (z * z)


@compiled
def student_tail(t: float, df: float) -> float:
    """Return -ln P(T >= t) of Student's t, by the normal deviate of Wallace (1959)."""
    z = math.sqrt(df * math.log1p(t * t / df)) * (8.0 * df + 1.0) / (8.0 * df + 3.0)
    return normal_tail(z if t >= 0.0 else -z)
