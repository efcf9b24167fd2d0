"""Likelihood ratio of a request: how much likelier it is of anybody than of the subject itself.

For a value x of a feature, Freeman et al. (section 4) compare p(x), how common it is among all,
with p(x|u), how common it is of this subject. p(x|u) is interpolated over levels, from the exact
value to the group it belongs to (address, network, country; device, family of agents), and down to
p(x) itself for what was never seen (their section 5, smoothing). Divided by p(x), each level is a
lift, n_x / (n p(x)), so that the ratio needs shares of single values only:

    factor = -ln( (sum_l w_l n_l / p_l + w_0 n + K) / (n + K) )

K is how many requests a history must hold before it is believed as much as the population: a
subject without any scores 0. Features are taken as independent given the subject, as in the paper.
Where we depart from it: attackers are taken to be spread like all requests (no table of bad
addresses), and amount, payee, velocity, travel and session age are factors of their own.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from meshwarden.tokens.risk.features import Namer
from meshwarden.tokens.risk.history import History
from meshwarden.tokens.risk.model import Assessment, Factor, Observation, RiskSettings, judge
from meshwarden.tokens.risk.population import Population
from meshwarden.tokens.risk.terms import (
    amount_term,
    payee_term,
    session_term,
    travel_term,
    velocity_term,
)

LEVELS: Final[Mapping[str, tuple[tuple[str, float], ...]]] = {
    "address": (("address", 0.5), ("network", 0.3), ("country", 0.15)),
    "device": (("device", 0.95), ("agent", 0.03)),
    "hour": (("hour", 0.6),),
}
"""Feature, its levels and their weights; what is left of 1 is w_0, for what was never seen."""

MAX_LIFT: Final = 60.0
"""However rare a value is among all, this much at most speaks for one sighting of it: a device that
was here once is not yet the owner's. Higher trusts sooner, and a thief who got through once too."""

PRIOR: Final = 2.0
LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "address": (-2.0, 4.0), "device": (-3.0, 5.0), "hour": (-1.0, 1.5),
}  # fmt: skip
"""No single feature decides: a known address alone must not outweigh a foreign device."""


def values_of(seen: Observation, namer: Namer) -> dict[str, int]:
    """Return the values of a request by kind, named; absent ones are left out."""
    hour = str(datetime.fromtimestamp(seen.time, UTC).hour // 3)
    raw = {
        "address": seen.address, "network": seen.network, "country": seen.country,
        "agent": seen.agent, "device": seen.device, "hour": hour,
    }  # fmt: skip
    return {kind: namer.name(kind, value) for kind, value in raw.items() if value is not None}


def assess(
    seen: Observation,
    names: Mapping[str, int],
    history: History,
    population: Population,
    settings: RiskSettings,
    *,
    payee: int | None = None,
) -> Assessment:
    """Return the risk of a request; the same for the same state, and nothing is changed.

    Args:
        seen: what the request shows.
        names: its values by kind, as `values_of` names them.
        history: the subject's.
        population: all subjects'.
        settings: thresholds.
        payee: who is paid, named.
    """
    factors = [
        Factor(name=feature, weight=_ratio(feature, levels, names, history, population, seen.time))
        for feature, levels in LEVELS.items()
        if levels[0][0] in names
    ]
    factors += [
        Factor(name="travel", weight=travel_term(seen, history)),
        Factor(name="amount", weight=amount_term(seen.amount, history)),
        Factor(name="payee", weight=payee_term(payee, history)),
        Factor(name="velocity", weight=velocity_term(seen.time, history)),
        Factor(name="session-age", weight=session_term(seen.session_age_s)),
        Factor(name="workload-findings", weight=seen.suspicion),
    ]
    return judge([one for one in factors if one.weight], settings)


def _ratio(
    feature: str,
    levels: tuple[tuple[str, float], ...],
    names: Mapping[str, int],
    history: History,
    population: Population,
    now: int,
) -> float:
    fade = history.faded(now)
    total = history.total * fade
    mixed, left = 0.0, 1.0
    for kind, weight in levels:
        if kind not in names:
            continue
        left -= weight
        count = history.counts.get(kind, {}).get(names[kind], 0.0) * fade
        if count:
            mixed += weight * count * min(MAX_LIFT, 1 / population.share(kind, names[kind]))
    low, high = LIMITS[feature]
    ratio = -math.log((mixed + left * total + PRIOR) / (total + PRIOR))
    return min(high, max(low, ratio))
