"""The factors of risk that are no shares of values: travel, amount, payee, velocity, session age.

Each is a natural logarithm of a likelihood ratio, bounded on both sides, and 0 where nothing is
known. What an attacker does is modelled coarsely, and said here; the benchmark shows what it is
worth.
"""

import math
from typing import Final

from meshwarden.tokens.risk.history import History
from meshwarden.tokens.risk.model import Observation

FASTEST_KMH: Final = 1000.0
"""An airliner. Places are rounded to a degree, so what is nearer than 300 km is never travel."""

NEAR_KM: Final = 300.0
_EARTH_KM: Final = 6371.0
_THIEF_PAYS_NEW: Final = 0.95
_SPREAD: Final = 1.0  # natural logs; of amounts of somebody of whom few are known
_ALL: Final = (9.0, 2.0)  # mean and spread of log amounts (minor units) of everybody
_BURST: Final = 4.0  # a script asks that many times faster than its victim


def travel_term(seen: Observation, history: History) -> float:
    """Return 0 where the subject can have come here since; up to 4 where no aircraft could."""
    if seen.place is None or history.place is None:
        return 0.0
    latitude, longitude, moment = history.place
    distance = distance_km(seen.place, (latitude, longitude))
    if distance < NEAR_KM:
        return 0.0
    hours = max(seen.time - moment, 60) / 3600
    return min(4.0, max(0.0, 2 * math.log(distance / hours / FASTEST_KMH)))


def amount_term(amount: float | None, history: History) -> float:
    """Return how much likelier an amount is of anybody than of this subject, -2 to 3.

    Log amounts are taken as normal; the subject's spread is drawn towards `_SPREAD` as by four
    earlier payments.
    """
    number, mean, squares = history.amounts
    if amount is None or number < 1.0:
        return 0.0
    spread = math.sqrt((squares + 4 * _SPREAD**2) / (number + 4))
    own = _log_normal(math.log(amount), mean, spread * math.sqrt(1 + 1 / number))
    # A thief takes what there is: amounts below the subject's usual ones speak for nobody.
    if math.log(amount) <= mean:
        return 0.0
    return min(3.0, max(-2.0, _log_normal(math.log(amount), *_ALL) - own))


def payee_term(payee: int | None, history: History) -> float:
    """Return the log ratio for paying somebody new, or somebody known, -2 to 3."""
    if payee is None or not history.payments:
        return 0.0
    new = (history.new_payees + 1.0) / (history.payments + 4.0)
    if payee in history.payees:
        return max(-2.0, math.log((1 - _THIEF_PAYS_NEW) / max(1 - new, 0.05)))
    return min(3.0, math.log(_THIEF_PAYS_NEW / new))


def velocity_term(now: int, history: History) -> float:
    """Return 0 up to the subject's usual pace, and up to 3 for `_BURST` times it and more.

    Requests in ten minutes are taken as Poisson.
    """
    usual = max(history.usual_rate, 3.0)
    number = history.rate_at(now)
    if number <= usual:
        return 0.0
    return min(3.0, max(0.0, number * math.log(_BURST) - (_BURST - 1) * usual))


def session_term(age_s: int | None) -> float:
    """Return 0 for a fresh session, growing to 1 for one of a day: stolen ones are used late."""
    return 0.0 if age_s is None else min(1.0, age_s / 86400)


def distance_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the great-circle distance of two places in degrees.

    >>> round(distance_km((52.5, 13.4), (48.9, 2.4)))
    876
    """
    (a, b), (c, d) = (map(math.radians, place) for place in (one, other))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, half)))


def _log_normal(value: float, mean: float, spread: float) -> float:
    return -((value - mean) ** 2) / (2 * spread**2) - math.log(spread)
