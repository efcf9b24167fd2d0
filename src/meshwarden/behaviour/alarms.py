"""Alarms: surprises of all channels become one rate, and the budget is spent on the rarest.

For each call: every channel's surprise is read as a share of groups (`calibrate`), the shares are
combined by the harmonic mean p-value (Wilson, PNAS 2019: valid under dependence up to a factor
that the next step measures), and the result is calibrated once more by its own groups. An alarm is
raised where the expected number of such groups a day is below the budget, while the token bucket
has tokens, and not again for what is already alarming.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.calibrate import BINS, bin_of, levels, read
from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.settings import Settings

MOST_CHANNELS: Final = 24
GROUP: Final = np.dtype([("hour", "i4"), ("alarm", "i4"), ("most", "f4", (MOST_CHANNELS + 1,))])
SUSPECT: Final = np.dtype([("until", "i8"), ("level", "f4"), ("alarms", "i4")])
_HOUR: Final = 3_600_000_000_000
_FORGET: Final = 1.0 / (24 * 21)  # of calibration, per hour


@dataclass(slots=True)
class Alarms:
    """The state of calibration and budget."""

    settings: Settings
    subjects: NDArray[np.int8]  # by channel: 0 edge, 1 source, 2 destination
    state: dict[str, NDArray[Any]] = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.subjects) + 1
        self.state = {
            "groups": np.zeros(1 << self.settings.edge_bits, GROUP),
            "suspects": np.zeros(1 << self.settings.node_bits, SUSPECT),
            "open": np.zeros(1 << self.settings.edge_bits, np.int32),
            "counts": np.zeros(4, np.int64),  # open groups, hour, first time, calls
            "histogram": np.zeros((n, BINS)),
            "days": np.zeros(1),
            "level": np.tile(-np.arange(BINS) * 0.25, (n, 1)),
            "tokens": np.array([self.settings.false_alarms_per_day, 0.0]),
        }

    def turn(self, hour: int) -> None:
        """Close the groups of the hour before `hour`, learn their maxima, fit the tails anew."""
        s = self.state
        passed = 0 if s["counts"][1] == 0 else int(hour - s["counts"][1])
        if passed:
            _close(s["groups"], s["open"], s["counts"], s["histogram"])
            keep = (1.0 - _FORGET) ** min(passed, 24 * 7)
            s["histogram"] *= keep
            s["days"] *= keep
            s["days"] += min(passed, 24 * 7) / 24.0
            groups = s["histogram"][-1].sum()
            for c, histogram in enumerate(s["histogram"]):
                s["level"][c] = levels(histogram, 1.0) - math.log(max(groups, 1.0))
        s["counts"][1] = hour

    def decide(
        self, placed: Placed, surprise: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int8]]:
        """Return score (-log10 of groups a day at least as odd), alert and channel of each call."""
        n = len(placed)
        score, alert, channel = np.empty(n), np.zeros(n, np.bool_), np.full(n, -1, np.int8)
        s = self.state
        if s["counts"][2] == 0:
            s["counts"][2] = placed.clock[0]
        _decide(
            placed.clock, placed.source, placed.destination, placed.edge, placed.fresh, surprise,
            self.subjects, s["groups"], s["suspects"], s["open"], s["counts"], s["level"],
            s["histogram"], s["days"], s["tokens"], self.settings.false_alarms_per_day,
            self.settings.warm_up_calls, score, alert, channel,
        )  # fmt: skip
        return score, alert, channel

    def muted(self, now: int) -> NDArray[np.bool_]:
        """Return, by number of identity, whether it is alarming now."""
        return self.state["suspects"]["until"] > now


@compiled
def _close(groups: Any, opened: Any, counts: Any, histogram: Any) -> None:
    for k in range(counts[0]):
        group = groups[opened[k]]
        for c in range(histogram.shape[0]):
            histogram[c, bin_of(group.most[c])] += 1.0
        group.hour = 0
    counts[0] = 0


@compiled
def _decide(
    clock: Any, source: Any, destination: Any, edge: Any, fresh: Any, surprise: Any, subjects: Any,
    groups: Any, suspects: Any, opened: Any, counts: Any, level: Any, histogram: Any, days: Any,
    tokens: Any, budget: float, warm_up: int, score: Any, alert: Any, channel: Any,
) -> None:  # fmt: skip
    channels = surprise.shape[1]
    closed = histogram[channels].sum()
    for i in range(clock.size):
        counts[3] += 1
        group = groups[edge[i]]
        hour = clock[i] // _HOUR
        if fresh[i, 2] or group.hour != hour:
            group.hour, group.alarm = hour, 0
            group.most[:] = 0.0
            opened[counts[0]] = edge[i]
            counts[0] += 1
        inverse, best, top = 0.0, 0, 0.0
        for c in range(channels):
            group.most[c] = max(group.most[c], surprise[i, c])
            share = -read(level[c], surprise[i, c])
            inverse += math.exp(min(share, 600.0))
            if share > top:
                best, top = c, share
        combined = max(math.log(inverse / channels), 0.0)
        group.most[channels] = max(group.most[channels], combined)
        elapsed = max((clock[i] - counts[2]) / (24.0 * _HOUR), 1.0 / 24.0)
        seen = (closed + counts[0]) / max(days[0], elapsed if days[0] == 0.0 else 0.0)
        rate = read(level[channels], combined) + math.log(seen)
        score[i] = -rate / math.log(10.0)
        channel[i] = best
        if counts[3] <= warm_up or group.alarm or rate > math.log(budget):
            continue
        gained = (clock[i] - tokens[1]) / (24.0 * _HOUR) * 1.5 * budget if tokens[1] else 0.0
        tokens[0] = min(tokens[0] + gained, max(1.5 * budget, 1.0))
        tokens[1] = clock[i]
        subject = destination[i] if subjects[best] == 2 else source[i]
        suspect = suspects[subject]
        if fresh[i, 0] and subject == source[i]:
            suspect.until, suspect.level = 0, 0.0
        if tokens[0] < 1.0 or (suspect.until > clock[i] and rate > suspect.level - 2.3):
            continue
        tokens[0] -= 1.0
        suspect.until, suspect.level = clock[i] + _HOUR, rate
        group.alarm = 1
        alert[i] = True
