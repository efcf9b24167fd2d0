"""The budget: which rare groups become alarms, and which are an alarm's growth; see `alarms`."""

import math
from typing import Any, Final

import numpy as np

from meshwarden.behaviour.compiled import compiled

# Last alarm or its growth (ns), faded count of alarms, and the rarest that was told of what it did:
# by how many nats it was rarer than the budget asks.
SUSPECT: Final = np.dtype([("until", "i8"), ("level", "f4"), ("told", "f4")])
SILENT, ALARM, GROWN = 0, 1, 2  # what `spend` says of a call
FOLLOW_UPS: Final = 8.0  # first contacts marked within incidents, at most at once
_FOLLOW_REFILL: Final = 3.0  # of these a day
_CAUTION: Final = 0.8  # ln of how much smaller the factor on the budget is at first (`alarms`, 4)
_CAUTIOUS_DAYS: Final = 28.0  # each hour of the week was seen four times by then
_REFILL: Final = 2.0  # tokens a day, in budgets
_LEAST_TOKEN: Final = 0.5  # with less left, only the overdraft is
_SUSPICION: Final = 0.5  # ln of how much less evidence news of an alarming party needs
_OVERDRAFT: Final = 3.0  # alarms beyond the tokens, or a budget of them if that is more ...
_RARE: Final = 4.6  # ... for what is a hundred times rarer than it has to be; joins incidents
_GROWTH: Final = math.log(3.0)  # nats by which what goes on has to be rarer to be told again ...
_GROWTH_SHARE: Final = 0.25  # ... or this much of what was told, if that is more
_SOURCE, _DESTINATION = 1, 2
_HOUR: Final = 3_600_000_000_000
_DAY: Final = 24 * _HOUR


@compiled
def _left(alarms: Any, now: int) -> float:
    """Return how many alarms there were lately, each fading with a time constant of a day."""
    return alarms.level * math.exp(-(now - alarms.until) / _DAY) if alarms.level > 0.0 else 0.0


@compiled
def _note(alarms: Any, now: int) -> None:
    alarms.level, alarms.until = _left(alarms, now) + 1.0, now


@compiled
def _said(whom: Any, now: int, kind: int) -> float:
    """Return what was said of this kind about an edge or a party in the past day, nats.

    Once more takes more than that; within the hour, more by far.
    """
    if not (whom.level > 0.0 and whom.kinds & kind):
        return 0.0
    again = _RARE if whom.alarm else 0.0
    fade = math.exp(-(now - whom.until) / _DAY)
    return float(whom.said * fade + again)


@compiled
def _say(whom: Any, now: int, kind: int, excess: float) -> None:
    recent = whom.level > 0.0 and now - whom.until < _DAY
    whom.kinds = whom.kinds | kind if recent else kind
    whom.said = max(excess, 0.0)


@compiled
def _is_another_kind(edge: Any, whom: Any, now: int, kind: int) -> bool:
    """Return whether the edge alarmed within the hour, and not with this kind of evidence."""
    return bool(edge.level > 0.0 and now - edge.until < _HOUR and not whom.kinds & kind)


@compiled
def _refill(tokens: Any, now: int, budget: float) -> None:
    """Add what has come since the last look; see `spend`."""
    most = _REFILL * budget
    days = (now - tokens[1]) / _DAY
    tokens[0] = min(tokens[0] + days * most, max(most, 1.0))
    tokens[2] = min(tokens[2] + days * _FOLLOW_REFILL, FOLLOW_UPS)
    tokens[1] = now


@compiled
def _tell(source: Any, now: int, excess: float) -> None:
    """Keep the rarest that was told about a suspect in the past day."""
    told = source.told if now - source.until < _DAY else 0.0
    source.told = max(told, excess, 1e-6)


@compiled
def _grows(source: Any, now: int, excess: float) -> bool:
    """Return whether what a suspect does is rarer by far than all that was told in the past day.

    The steps grow, so that it is 22 times at most, however long it goes on.
    """
    if not (source.told > 0.0 and now - source.until < _DAY):
        return False
    return bool(excess > source.told + max(_GROWTH, _GROWTH_SHARE * source.told))


@compiled
def _scarcity(tokens: Any, budget: float) -> float:
    """Return by how many nats rarer an alarm has to be with so many tokens left."""
    if tokens[0] >= _LEAST_TOKEN:
        return math.log(max(_REFILL * budget, 1.0) / tokens[0])
    return _RARE if tokens[0] >= -max(budget, _OVERDRAFT) else math.inf


@compiled
def _repeats(
    edge: Any, source: Any, destination: Any, same: bool, now: int, cost: float, about: int
) -> float:
    """Return the same for what all concerned alarmed with in the past day."""
    nats = math.log1p(cost * _left(edge, now)) + 0.5 * math.log1p(cost * _left(source, now))
    if not same and about != _SOURCE:  # what is about a source says nothing of the other end
        weight = 1.0 if about == _DESTINATION else 0.5  # what others did there says less
        nats += weight * math.log1p(cost * _left(destination, now))
    return nats


@compiled
def rarest(budget: float, slack: float) -> float:
    """Return the rate above which `spend` raises and marks nothing, whatever else there is."""
    return math.log(budget * slack) + _SUSPICION


@compiled
def spend(
    rate: float, now: int, budget: float, slack: float, cost: float, tokens: Any, edge: Any,
    source: Any, destination: Any, whom: Any, same: bool, news: bool, days: float, about: int,
    family: int,
) -> int:  # fmt: skip
    """Return ALARM where one is raised, GROWN where what alarmed became rarer by far, else SILENT.

    Args:
        rate: ln of expected groups a day at least as odd.
        now: ns.
        budget: false alarms a day.
        slack: factor on the budget after four weeks.
        cost: how much dearer each alarm of the past day makes the next about the same.
        tokens: float64[3]: tokens, time of the last look, follow-ups left.
        edge: record with `until` and `level`, the `hour`, in which it was `born`, its `alarm`,
            what was `said`, in which `kinds`.
        whom: such a record of whom the channel that speaks is about: the edge, or a party.
        source: record of SUSPECT.
        destination: as `source`.
        same: source and destination are one.
        news: the call is the first of its edge or service.
        days: for how long anything has been known.
        family: of the channel that speaks.
        about: whom the channel that speaks is about: 0 the edge, 1 the source, 2 the destination.
    """
    _refill(tokens, now, budget)
    limit = math.log(budget * slack) - _CAUTION * (1.0 - min(days / _CAUTIOUS_DAYS, 1.0))
    excess = limit - rate
    if excess < -_SUSPICION:
        return SILENT
    recent = max(source.until, destination.until)
    young = edge.born == edge.hour and not edge.alarm
    if (news or young) and tokens[2] >= 1.0 and recent > 0 and now - recent < _HOUR:
        tokens[2] -= 1.0
        _tell(source, now, excess)
        _say(whom, now, 1 << family, excess)
        _note(edge, now)
        for party in (source, destination):
            party.level, party.until = _left(party, now), now
        return ALARM
    if tokens[2] >= 1.0 and excess > _RARE and _is_another_kind(edge, whom, now, 1 << family):
        tokens[2] -= 1.0
        _tell(source, now, excess)
        _say(whom, now, 1 << family, excess)
        if about > 0:
            _note(whom, now)
        return ALARM
    price = _scarcity(tokens, budget)
    if about > 0 or not news:  # of a service that was never used nothing was said
        price += _said(whom, now, 1 << family)
    price += _repeats(edge, source, destination, same, now, cost, about)
    if price > excess:
        if not _grows(source, now, excess):
            return SILENT
        _tell(source, now, excess)
        source.level, source.until = _left(source, now), now
        return GROWN
    tokens[0] -= 1.0
    _say(whom, now, 1 << family, excess)
    _tell(source, now, excess)
    _note(edge, now)
    if about > 0:
        _note(whom, now)
    _note(source, now)
    if not same:
        _note(destination, now)
    return ALARM
