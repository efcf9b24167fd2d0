"""Alarms: surprises of all channels become one rate, and a budget is spent on the rarest.

1. A group is one edge (or source, or destination: whatever a channel is about) in one hour. Each
   channel's surprise is read as the expected number of such groups a day (`calibrate`).
2. Channels of a family say much the same: their surprises are joined by the Euclidean norm, and the
   norm is calibrated like a channel of its own, by its own past. Whatever the dependence, what is
   used is where the result stands among its own past values, not a formula for it.
3. Families are joined by the harmonic mean p-value (Wilson, PNAS 2019), which tolerates dependence;
   the result is calibrated once more.
4. An alarm is raised where the expected number of such groups a day is below the budget times
   ``e`` (alarms also fail to be raised for want of tokens, hence the factor; measured, not proved),
   tightened as tokens run low, and by what the same edge, source and destination have alarmed with
   in the past day. The token bucket bounds alarms of any kind: 1.5 budgets a day.
5. While a party alarms, first contacts of it that pass the same threshold belong to the same
   incident: they are marked without a token, a few a day.

What an identity contributes to the tails is bounded per day, and groups of an alarming party other
than the alarm itself are not learned.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.calibrate import BINS, WIDTH, bin_of, levels, read
from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.settings import Settings

MOST_ROWS: Final = 40
MOST_FAMILIES: Final = 12
GROUP: Final = np.dtype(
    [
        ("hour", "i4"),
        ("alarm", "i4"),
        ("tail", "i4"),  # groups in the tail taught today
        ("day", "i4"),
        ("until", "i8"),  # last alarm, ns
        ("level", "f4"),  # alarms of the past day, faded
        ("source", "i4"),
        ("destination", "i4"),
        ("best", "f4", (MOST_FAMILIES,)),
        ("which", "i1", (MOST_FAMILIES,)),
        ("most", "f4", (MOST_ROWS,)),
    ]
)
SUSPECT: Final = np.dtype([("until", "i8"), ("level", "f4")])
_HOUR: Final = 3_600_000_000_000
_DAY: Final = 24 * _HOUR
_FORGET: Final = 1.0 / (24 * 21)  # of calibration, per hour
_SLACK: Final = 1.0  # ln of the factor on the budget
_REFILL: Final = 1.5  # tokens a day, in budgets
_COST: Final = 10.0  # how much dearer each alarm of the past day makes the next
_FOLLOW_UPS: Final = 8.0  # first contacts marked within incidents, at most at once
_FOLLOW_REFILL: Final = 3.0  # of these a day
_MUTE: Final = 2 * _HOUR  # nothing is learned from a party for so long after its alarm
_TAIL: Final = 4.0  # nats from which a group belongs to the tail
_TAUGHT: Final = 3  # tail groups that one identity teaches in a day


@dataclass(slots=True)
class Alarms:
    """Calibration and budget.

    Attributes:
        settings: of the model.
        subjects: by row (channels, families, all): 0 edge, 1 source, 2 destination.
        family: of each channel.
        state: arrays by name.
    """

    settings: Settings
    subjects: NDArray[np.int8]
    family: NDArray[np.int8]
    state: dict[str, NDArray[Any]] = field(init=False)

    def __post_init__(self) -> None:
        rows = len(self.subjects)
        edges, nodes = 1 << self.settings.edge_bits, 1 << self.settings.node_bits
        self.state = {
            **{f"groups{k}": np.zeros(n, GROUP) for k, n in enumerate((edges, nodes, nodes))},
            **{f"open{k}": np.zeros(n, np.int32) for k, n in enumerate((edges, nodes, nodes))},
            "suspects": np.zeros(nodes, SUSPECT),
            "counts": np.zeros(6, np.int64),  # open groups (3), hour, first time, calls
            "histogram": np.zeros((rows, BINS)),
            "days": np.zeros(1),
            "age": np.zeros(1),
            "level": np.tile(-np.arange(BINS) * WIDTH, (rows, 1)),
            # tokens, time of the last look, follow-ups
            "tokens": np.array([max(self.settings.false_alarms_per_day, 1.0), 0.0, _FOLLOW_UPS]),
        }

    def turn(self, hour: int) -> None:
        """Close the groups of the hour before `hour`, learn their maxima, fit the tails anew."""
        s = self.state
        passed = min(int(hour - s["counts"][3]), 24) if s["counts"][3] else 0
        if passed:
            muted = self.muted(hour * _HOUR)
            for k in range(3):
                _close(
                    s[f"groups{k}"], s["groups1"], s["groups2"], s[f"open{k}"], s["counts"], k,
                    self.subjects, s["histogram"], muted,
                )  # fmt: skip
            s["age"] += passed
            keep = 1.0 - max(_FORGET, 2.0 / (s["age"][0] + 3.0))
            s["histogram"] *= keep
            s["days"] *= keep
            s["days"] += passed / 24.0
            for row, histogram in enumerate(s["histogram"]):
                s["level"][row] = levels(histogram)
        s["counts"][3] = hour

    def decide(
        self, placed: Placed, surprise: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int8]]:
        """Return score (-log10 of groups a day at least as odd), alert and channel of each call."""
        n = len(placed)
        score, alert, channel = np.empty(n), np.zeros(n, np.bool_), np.full(n, -1, np.int8)
        s = self.state
        if s["counts"][4] == 0 and n:
            s["counts"][4] = placed.clock[0]
        _decide(
            placed.clock, placed.hour, placed.source, placed.destination, placed.edge, placed.fresh,
            surprise, self.subjects, self.family, s["groups0"], s["groups1"], s["groups2"],
            s["open0"], s["open1"], s["open2"], s["suspects"], s["counts"], s["level"],
            s["histogram"], s["days"], s["tokens"], self.settings.false_alarms_per_day,
            self.settings.warm_up_calls, int(self.settings.warm_up_minutes * 6e10), score, alert,
            channel,
        )  # fmt: skip
        return score, alert, channel

    def muted(self, now: int) -> NDArray[np.bool_]:
        """Return, by number of identity, whether it alarmed lately."""
        muted: NDArray[np.bool_] = self.state["suspects"]["until"] > max(now - _MUTE, 0)
        return muted


@compiled
def _left(suspect: Any, now: int) -> float:
    if suspect.level == 0.0:
        return 0.0
    return suspect.level * math.exp(-(now - suspect.until) / _DAY)


@compiled
def _close(groups: Any, sources: Any, destinations: Any, opened: Any, counts: Any, kind: int, subjects: Any, histogram: Any, muted: Any) -> None:
    for k in range(counts[kind]):
        group = groups[opened[k]]
        if (muted[group.source] or muted[group.destination]) and not group.alarm:
            group.hour = 0
            continue
        if kind == 0 and group.most[subjects.size - 1] > _TAIL:
            a, b = sources[group.source], destinations[group.destination]
            day = group.hour // 24
            if a.day != day:
                a.day, a.tail = day, 0
            if b.day != day:
                b.day, b.tail = day, 0
            if a.tail >= _TAUGHT or b.tail >= _TAUGHT:
                group.hour = 0
                continue
            a.tail += 1
            b.tail += 1
        for c in range(subjects.size):
            if subjects[c] == kind:
                histogram[c, bin_of(group.most[c])] += 1.0
        group.hour = 0
    counts[kind] = 0


@compiled
def _enter(groups: Any, number: int, fresh: bool, hour: int, opened: Any, counts: Any, kind: int, a: int, b: int) -> None:
    group = groups[number]
    if fresh or group.hour != hour:
        if group.hour != hour:
            opened[counts[kind]] = number
            counts[kind] += 1
        group.hour, group.alarm = hour, 0
        group.source, group.destination = a, b
        group.most[:] = 0.0
        group.best[:] = 0.0


@compiled
def _decide(
    clock: Any, hours: Any, source: Any, destination: Any, edge: Any, fresh: Any, surprise: Any, subjects: Any, family: Any,
    edges: Any, sources: Any, destinations: Any, open0: Any, open1: Any, open2: Any, suspects: Any, counts: Any, level: Any, histogram: Any, days: Any,
    tokens: Any, budget: float, warm_up: int, warm_ns: int, score: Any, alert: Any, channel: Any,
) -> None:  # fmt: skip
    channels = surprise.shape[0]
    families = subjects.size - channels - 1
    total = np.zeros(families)
    last = subjects.size - 1
    closed = np.zeros(3)
    for c in range(channels):
        closed[subjects[c]] = histogram[c].sum()
    for i in range(clock.size):
        counts[5] += 1
        hour = hours[i]
        _enter(edges, edge[i], fresh[i, 2], hour, open0, counts, 0, source[i], destination[i])
        _enter(sources, source[i], fresh[i, 0], hour, open1, counts, 1, source[i], source[i])
        _enter(destinations, destination[i], fresh[i, 1], hour, open2, counts, 2, destination[i], destination[i])
        elapsed = max((clock[i] - counts[4]) / _DAY, 1.0 / 24.0)
        per = days[0] if days[0] > 0.0 else elapsed
        e = math.log((closed[0] + counts[0]) / per)
        s = math.log((closed[1] + counts[1]) / per)
        d = math.log((closed[2] + counts[2]) / per)
        total[:] = 0.0
        group = edges[edge[i]]
        for c in range(channels):
            x = surprise[c, i]
            if x <= 0.0:
                continue
            if subjects[c] == 0:
                if x > group.most[c]:
                    group.most[c] = x
                z = -read(level[c], x)
            elif subjects[c] == 1:
                g1 = sources[source[i]]
                if x > g1.most[c]:
                    g1.most[c] = x
                z = -read(level[c], x) + e - s
            else:
                g2 = destinations[destination[i]]
                if x > g2.most[c]:
                    g2.most[c] = x
                z = -read(level[c], x) + e - d
            total[family[c]] += max(z, 0.0) ** 2
            if z > group.best[family[c]]:
                group.best[family[c]] = z
                group.which[family[c]] = c
        inverse, best, top = 0.0, -1, 0.0
        for f in range(families):
            if total[f] <= 0.0:
                continue
            x = math.sqrt(total[f])
            if x > group.most[channels + f]:
                group.most[channels + f] = x
            z = max(-read(level[channels + f], x), 0.0)
            inverse += math.exp(min(z, 300.0))
            if z > top:
                best, top = f, z
        combined = max(math.log(inverse / families), 0.0) if inverse > 0.0 else 0.0
        if combined > group.most[last]:
            group.most[last] = combined
        rate = read(level[last], combined) + e
        score[i] = -rate / math.log(10.0)
        channel[i] = group.which[best] if best >= 0 else -1
        gained = (clock[i] - tokens[1]) / _DAY * _REFILL * budget if tokens[1] else 0.0
        tokens[0] = min(tokens[0] + gained, max(_REFILL * budget, 1.0))
        tokens[2] = min(tokens[2] + ((clock[i] - tokens[1]) / _DAY * _FOLLOW_REFILL if tokens[1] else 0.0), _FOLLOW_UPS)
        tokens[1] = clock[i]
        if counts[5] <= warm_up or clock[i] - counts[4] < warm_ns or rate > math.log(budget) + _SLACK:
            continue
        a, b = suspects[source[i]], suspects[destination[i]]
        if fresh[i, 0]:
            a.until, a.level = 0, 0.0
        if fresh[i, 1]:
            b.until, b.level = 0, 0.0
        if fresh[i, 2]:
            group.until, group.level = 0, 0.0
        recent = max(a.until, b.until)
        if (fresh[i, 2] or fresh[i, 4]) and tokens[2] >= 1.0 and recent > 0 and clock[i] - recent < _HOUR:
            tokens[2] -= 1.0
            a.until = clock[i] if a.until > 0 else 0
            alert[i] = True
            continue
        if group.alarm or tokens[0] < 1.0:
            continue
        penalty = 0.5 * math.log1p(_COST * _left(a, clock[i])) + math.log1p(_COST * _left(group, clock[i]))
        if source[i] != destination[i]:
            penalty += math.log1p(_COST * _left(b, clock[i]))
        if rate + penalty > math.log(budget) + _SLACK + math.log(tokens[0] / max(_REFILL * budget, 1.0)):
            continue
        tokens[0] -= 1.0
        group.level, group.until = _left(group, clock[i]) + 1.0, clock[i]
        a.level, a.until = _left(a, clock[i]) + 1.0, clock[i]
        if source[i] != destination[i]:
            b.level, b.until = _left(b, clock[i]) + 1.0, clock[i]
        group.alarm = 1
        sources[source[i]].alarm = 1
        destinations[destination[i]].alarm = 1
        alert[i] = True
