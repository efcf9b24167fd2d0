"""Alarms: surprises of all channels become one rate, and a budget is spent on the rarest.

1. A group is one edge (or source, or destination: whatever a channel is about) in one hour. Each
   channel's surprise is read as the expected number of such groups a day (`calibrate`).
2. Channels of a family say much the same: their surprises are joined by the Euclidean norm, and the
   norm is calibrated like a channel of its own, by its own past. Whatever the dependence, what is
   used is where the result stands among its own past values, not a formula for it.
3. Families are joined by the harmonic mean p-value (Wilson, PNAS 2019), which tolerates dependence;
   the result is calibrated once more.
4. An alarm is raised where the expected number of such groups a day is below the budget times
   a factor (`Settings.slack` after four weeks, less at first, when little of what recurs was seen
   to do so: most rare groups belong to an alarm that was raised already or fail for want of
   tokens; the factor is measured, not proved),
   tightened in proportion to the tokens that are left, and by what the same edge, source and
   destination have alarmed with in the past day: about an edge, or about a party where a channel is
   about one, only what is rarer is said again, or what is of another family, or a service of the
   edge that was never used before. The token bucket bounds such alarms of any kind: two budgets a
   day; with less than half a token, what is a hundred times rarer still has an overdraft.
5. While a party alarms, its first contacts and young edges belong to the same incident: they need a
   little less evidence and no token, and are few a day, each said once. So does another kind of
   evidence about an edge that alarms, where it is a hundred times rarer than an alarm has to be.
6. What a suspect does that is rarer by far than all that was told of it in the past day is told as
   well, but raises no alarm: its incident has grown. That takes no token.

What an identity contributes to the tails is bounded per day. Of an alarming party nothing is
learned but that there was an alarm: it counts as what is seen once a day, however odd it was. So
alarms that go on make the next ones dearer, and one extreme alarm, false or not, does not make
every attack after it look ordinary.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.budget import ALARM, FOLLOW_UPS, SUSPECT, rarest, spend
from meshwarden.behaviour.calibrate import BINS, WIDTH, fit
from meshwarden.behaviour.combine import (
    GROUP,
    MOST_FAMILIES,
    MOST_ROWS,
    combine,
    enter,
    speaking,
)
from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.ground import AS_DESTINATION, AS_SOURCE, Placed
from meshwarden.behaviour.settings import Settings

_LN_10: Final = math.log(10.0)
_HOUR: Final = 3_600_000_000_000
_FORGET: Final = 1.0 / (24 * 21)  # of calibration, per hour
_MUTE: Final = 2 * _HOUR  # nothing is learned from a party for so long after its alarm
_TAIL: Final = int(4.0 / WIDTH)  # bin of the nats from which a group belongs to the tail
_ALARMS_TEACH: Final = 1.0  # times a day: an alarm counts as what is seen so often
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
        if rows > MOST_ROWS or int(self.family.max()) >= MOST_FAMILIES:
            raise ValueError("more channels or families than `combine.GROUP` has room for")
        edges, nodes = 1 << self.settings.edge_bits, 1 << self.settings.node_bits
        self.state = {
            **{f"groups{k}": np.zeros(n, GROUP) for k, n in enumerate((edges, nodes, nodes))},
            **{f"open{k}": np.zeros(n, np.int32) for k, n in enumerate((edges, nodes, nodes))},
            "tainted": np.zeros(edges, np.int32),  # see `Placed.tainted`
            "suspects": np.zeros(nodes, SUSPECT),
            "muted": np.zeros(nodes, np.bool_),  # whom nobody learns from in this segment
            "counts": np.zeros(6, np.int64),  # open groups (3), hour, began (ns), calls
            "histogram": np.zeros((rows, BINS)),
            "days": np.zeros(1),
            "age": np.zeros(1),
            "level": np.tile(-np.arange(BINS) * WIDTH, (rows, 1)),
            # tokens, time of the last look, follow-ups
            "tokens": np.array([max(self.settings.false_alarms_per_day, 1.0), 0.0, FOLLOW_UPS]),
        }

    def turn(self, hour: int, nodes: int) -> None:
        """Close the groups of the hour before `hour`, learn their maxima, fit the tails anew.

        `nodes`: how many identities have numbers.
        """
        s = self.state
        passed = min(int(hour - s["counts"][3]), 24) if s["counts"][3] else 0
        if passed:
            muted, most = self.muted(hour * _HOUR, nodes), self._most_taught()
            for k in range(3):
                _close(
                    s[f"groups{k}"], s["groups1"], s["groups2"], s[f"open{k}"], s["counts"], k,
                    self.subjects, s["histogram"], muted, s["tainted"], most,
                )  # fmt: skip
            s["age"] += passed
            keep = 1.0 - max(_FORGET, 2.0 / (s["age"][0] + 3.0))
            s["histogram"] *= keep
            s["days"] *= keep
            s["days"] += passed / 24.0
            fit(s["histogram"], s["level"])
        s["counts"][3] = hour

    def _most_taught(self) -> NDArray[np.int64]:
        """Return, by row, the bin of what is seen once a day: an alarm teaches no more."""
        s = self.state
        if not s["days"][0]:
            return np.full(len(self.subjects), BINS - 1)
        a_day = s["histogram"].sum(axis=1) / s["days"][0]
        rare = s["level"] < -np.log(np.maximum(a_day / _ALARMS_TEACH, 1.0))[:, None]
        return np.where(rare.any(axis=1), rare.argmax(axis=1), BINS - 1)

    def decide(
        self, placed: Placed, surprise: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.int8]]:
        """Return score (-log10 of groups a day at least as odd), outcome and channel of each call.

        The outcome is one of `budget`'s.
        """
        n = len(placed)
        score, outcome, channel = np.empty(n), np.zeros(n, np.int8), np.full(n, -1, np.int8)
        s, bits = self.state, np.zeros(n, np.int64)
        s["counts"][4] = placed.began
        again = np.ones(n, np.bool_)
        loud = np.flatnonzero(surprise.max(axis=1, initial=0.0) > 0.0)
        speaking(surprise, loud, bits, again)
        _decide(
            placed.clock, placed.hour, placed.source, placed.destination, placed.edge, placed.fresh,
            surprise, bits, again, self.subjects, self.family, s["groups0"], s["groups1"],
            s["groups2"], s["open0"], s["open1"], s["open2"], s["suspects"], s["counts"],
            s["level"], s["histogram"], s["days"], s["tokens"], self.settings.false_alarms_per_day,
            self.settings.slack, self.settings.repeat_cost,
            self.settings.warm_up_calls, int(self.settings.warm_up_minutes * 6e10), score, outcome,
            channel,
        )  # fmt: skip
        return score, outcome, channel

    def groups_per_day(self, now: int) -> float:
        """Return how many edges a day are seen in an hour of it."""
        s = self.state
        days = float(s["days"][0]) or max((now - int(s["counts"][4])) / (24 * _HOUR), 1 / 24)
        return (float(s["histogram"][0].sum()) + float(s["counts"][0])) / days

    def is_sound(self, nodes: int, edges: int) -> bool:
        """Return whether loaded numbers stay within the tables: the loops do not check."""
        s, used = self.state, (edges, nodes, nodes)
        channels = len(self.family)
        for k in range(3):
            groups, count = s[f"groups{k}"], int(s["counts"][k])
            numbers = s[f"open{k}"]
            if not 0 <= count <= used[k] or not (numbers[:count].min(initial=0) >= 0):
                return False
            if numbers[:count].max(initial=-1) >= max(used[k], 1):
                return False
            for name, least, most in (("source", 0, nodes), ("destination", 0, nodes)):
                if groups[name].min() < least or groups[name].max() >= max(most, 1):
                    return False
            if groups["which"].min() < 0 or groups["which"].max() >= channels:
                return False
        return True

    def muted(self, now: int, nodes: int) -> NDArray[np.bool_]:
        """Return, of the first `nodes` identities, whether each alarmed lately."""
        muted: NDArray[np.bool_] = self.state["suspects"]["until"][:nodes] > max(now - _MUTE, 0)
        return muted


@compiled
def _in_tail(group: Any, subjects: Any, kind: int) -> bool:
    """Return whether a group is odd: an edge by all channels together, a party by its own."""
    most = group.most[subjects.size - 1] if kind == 0 else 0
    for c in range(subjects.size):
        if kind > 0 and subjects[c] == kind:
            most = max(most, group.most[c])
    return bool(most >= _TAIL)


@compiled
def _may_teach(party: Any, hour: int) -> bool:
    """Return whether an identity may teach the tails one more group today."""
    if party.day != hour // 24:
        party.day, party.tail = hour // 24, 0
    return bool(party.tail < _TAUGHT)


@compiled
def _close(
    groups: Any,
    sources: Any,
    destinations: Any,
    opened: Any,
    counts: Any,
    kind: int,
    subjects: Any,
    histogram: Any,
    muted: Any,
    tainted: Any,
    most: Any,
) -> None:
    for k in range(counts[kind]):
        group = groups[opened[k]]
        alarming = muted[group.source] or muted[group.destination]
        if kind == 0 and (alarming or group.alarm):
            tainted[opened[k]] = group.hour
        if alarming and not group.alarm:
            group.hour = 0
            continue
        if _in_tail(group, subjects, kind):
            a, b = sources[group.source], destinations[group.destination]
            if not (_may_teach(a, group.hour) and _may_teach(b, group.hour)):
                group.hour = 0
                continue
            a.tail += 1
            b.tail += 1
        for c in range(subjects.size):
            if subjects[c] == kind:
                at = group.most[c]
                histogram[c, min(at, most[c]) if group.alarm else at] += 1.0
        group.hour = 0
    counts[kind] = 0


@compiled
def _decide(
    clock: Any, hours: Any, source: Any, destination: Any, edge: Any, fresh: Any, surprise: Any,
    bits: Any, again: Any, subjects: Any, family: Any, edges: Any, sources: Any, destinations: Any,
    open0: Any, open1: Any, open2: Any, suspects: Any, counts: Any, level: Any, histogram: Any,
    days: Any, tokens: Any, budget: float, slack: float, cost: float, warm_up: int, warm_ns: int,
    score: Any, outcome: Any, channel: Any,
) -> None:  # fmt: skip
    total = np.zeros(subjects.size - family.size - 1)
    closed, seen, base = np.zeros(3), np.zeros(3), np.zeros(3)
    opened, usual, rate, most = -1, 0.0, 0.0, rarest(budget, slack)
    for c in range(family.size):
        closed[subjects[c]] = histogram[c].sum()
    for i in range(clock.size):
        counts[5] += 1
        a, b = source[i], destination[i]
        hour = hours[i]
        if fresh[i, 2] or edges[edge[i]].hour != hour:
            enter(edges, edge[i], fresh[i, 2], hour, open0, counts, 0, a, b)
        if fresh[i, AS_SOURCE] or sources[a].hour != hour:
            enter(sources, a, fresh[i, AS_SOURCE], hour, open1, counts, 1, a, a)
        if fresh[i, AS_DESTINATION] or destinations[b].hour != hour:
            enter(destinations, b, fresh[i, AS_DESTINATION], hour, open2, counts, 2, b, b)
        if fresh[i, 0]:
            suspects[a].until, suspects[a].level, suspects[a].told = 0, 0.0, 0.0
        if fresh[i, 1]:
            suspects[b].until, suspects[b].level, suspects[b].told = 0, 0.0, 0.0
        elapsed = max((clock[i] - counts[4]) / (24.0 * _HOUR), 1.0 / 24.0)
        new = fresh[i, AS_SOURCE] or fresh[i, AS_DESTINATION] or fresh[i, 2]
        same = again[i] and i > 0 and edge[i] == edge[i - 1] and not new
        if days[0] == 0.0 or opened != counts[0] + counts[1] + counts[2]:
            same = False
            opened = counts[0] + counts[1] + counts[2]
            for k in range(3):
                seen[k] = (closed[k] + counts[k]) / (days[0] if days[0] > 0.0 else elapsed)
                base[k] = math.log(seen[0] / seen[k])
            usual = math.log(seen[0])
        group = edges[edge[i]]
        if same:  # what was said is said again, of the same groups
            channel[i] = channel[i - 1]
        else:
            rate, channel[i] = combine(
                surprise, i, bits[i], subjects, family, level, base, usual, group, sources[a],
                destinations[b], total,
            )  # fmt: skip
        score[i] = -rate / _LN_10
        if counts[5] <= warm_up or clock[i] - counts[4] < warm_ns:
            group.born = 0  # what is new during warm-up is no news
            continue
        if tokens[1] == 0.0:
            tokens[1] = clock[i]  # from now on they come
        if rate > most or channel[i] < 0:  # as nearly always: `spend` is too large to be inlined
            continue
        news = fresh[i, 2] or fresh[i, 4]
        about = subjects[channel[i]]
        whom = group if about == 0 else sources[a] if about == 1 else destinations[b]
        outcome[i] = spend(
            rate,
            clock[i],
            budget,
            slack,
            cost,
            tokens,
            group,
            suspects[a],
            suspects[b],
            whom,
            a == b,
            news,
            elapsed,
            about,
            family[channel[i]],
        )
        if outcome[i] == ALARM:
            group.alarm = sources[a].alarm = destinations[b].alarm = 1
