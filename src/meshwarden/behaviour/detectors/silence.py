"""Silence: an edge that is called at this hour on nearly all such days, and was not.

Each edge has its habits: of each hour of a weekday and of a weekend day (48 slots), on how many
days it was called in it. The chance `q` that it is called is that share, shrunk towards the edge's
share of all hours. An hour over without a call surprises by ``-ln(1 - q)``, but:

- where many edges were silent in the same hour (a holiday, an outage, a log that was cut), the
  share of the others that were, among all that should have been called, is the least assumed;
- where few calls are usual in that hour, an hour without any is no wonder: ``q`` is at most what
  a third of the usual number, at random, makes it;
- silences last: each further hour adds no more than what others' silences make of it.

Nobody calls, so it is said at the next call that the same source makes to anyone; a source that has
stopped altogether says nothing any more. Edges need five days of history. The first 65,536 edges
are watched: a silence among more is nothing that anyone could look at.
"""

import math
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.detectors.contract import SOURCE, Detector, Surprise, silent
from meshwarden.behaviour.ground import AS_SOURCE, Placed
from meshwarden.behaviour.season import SLOTS, slot_of
from meshwarden.behaviour.settings import Settings

HABIT: Final = np.dtype(
    [
        ("last", "i4"),  # hour of the last call
        ("run", "i4"),  # hours of silence so far
        ("source", "i4"),
        ("destination", "i4"),
        ("surprise", "f4"),
        ("active", "f4"),  # of all hours
        ("hours", "f4"),
        ("calls", "f4"),  # in this hour
    ]
)
WHISPER: Final = np.dtype([("hour", "i4"), ("edge", "i4"), ("surprise", "f4")])
_BITS: Final = 16
_LEAST_HOURS: Final = 120.0
_PRIOR_DAYS: Final = 1.0
_LEAST: Final = 6.0  # nats: once in some hundred such hours, on an edge that is never silent
_MOST: Final = 60.0
_FULL: Final = 255
_BUNCH: Final = 3.0  # calls that come together: an hour of so many has one chance to be empty
_REMEMBERED: Final = 20.0  # days that an hour's usual count is a mean of
_UNUSED: Final = math.exp(-1.0 / _BUNCH)  # chance of no call where none were counted


class Silence(Detector):
    """Hours without a call on edges that are usually called then."""

    name: ClassVar[str] = "silence"
    channels: ClassVar[tuple[str, ...]] = ("silence",)
    families: ClassVar[tuple[str, ...]] = ("silence",)
    subjects: ClassVar[tuple[int, ...]] = (SOURCE,)
    tables: ClassVar[dict[str, str]] = {}  # of the first edges only

    def __init__(self, settings: Settings) -> None:
        edges = 1 << min(settings.edge_bits, _BITS)
        self.state = {
            "habits": np.zeros(edges, HABIT),
            # By slot and edge, for all edges are looked through at each hour, in one slot:
            "habits called": np.zeros((SLOTS, edges), np.uint8),
            "habits days": np.zeros((SLOTS, edges), np.uint8),
            # mean log count of the hours with calls, by hour of the day
            "habits usual": np.zeros((24, edges), np.float32),
            "known": np.zeros(1, np.int64),
            "whispers": np.zeros(1 << settings.node_bits, WHISPER),
            "hour": np.zeros(1, np.int64),
            "lasting": np.array([8.0, 10.0]),  # hours of silence that another one followed; all
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = silent(1, len(placed))
        s = self.state
        _listen(
            placed.edge, placed.source, placed.destination, placed.fresh, placed.hour, muted,
            s["habits"], s["habits called"], s["habits days"], s["habits usual"], s["known"],
            s["whispers"], s["hour"], s["lasting"], out[0],
        )  # fmt: skip
        return out

    def other_edge(self, source: int) -> int | None:
        """Return the number of the edge of `source` that fell silent."""
        return int(self.state["whispers"]["edge"][source])

    def is_sound(self, nodes: int, edges: int) -> bool:
        """See `Detector.is_sound`."""
        habits, known = self.state["habits"], int(self.state["known"][0])
        numbers = (
            (habits["source"], nodes),
            (habits["destination"], nodes),
            (self.state["whispers"]["edge"], edges),
        )
        return 0 <= known <= min(len(habits), edges) and all(
            n.min() >= 0 and n.max() < max(most, 1) for n, most in numbers
        )


@compiled
def _chance(habit: Any, called: int, days: int, usual: float) -> float:
    """Return the chance that an edge is called in such an hour.

    However many days it was called: where few calls are usual, chance alone leaves an hour empty.
    """
    share = (habit.active + 1.0) / (habit.hours + 2.0)
    seen = (called + _PRIOR_DAYS * share) / (days + _PRIOR_DAYS)
    empty = math.exp(-math.exp(min(usual, 30.0)) / _BUNCH) if usual != 0.0 else _UNUSED
    return float(min(seen, 1.0 - empty))


@compiled
def _due(
    habits: Any, called: Any, days: Any, usual: Any, hour: int, chances: Any
) -> tuple[float, float]:
    """Return how many edges were due in `hour`, and how many of them were silent."""
    due, silent = 1.0, 0.0
    for k in range(habits.size):
        habit = habits[k]
        if habit.hours >= _LEAST_HOURS:
            chances[k] = _chance(habit, called[k], days[k], usual[k])
            if habit.run == 0:
                due += chances[k]
                silent += chances[k] if habit.last < hour else 0.0
    return due, silent


@compiled
def _note(habit: Any, called: Any, days: Any, usual: Any, k: int, was_called: bool) -> None:
    if days[k] == _FULL:
        days[k] //= 2
        called[k] //= 2
    days[k] += 1
    habit.hours += 1.0
    if was_called:
        called[k] += 1
        habit.active += 1.0
        seen = min(max(float(called[k]), 1.0), _REMEMBERED)
        usual[k] += (math.log(max(habit.calls, 1.0)) - usual[k]) / seen


@compiled
def _close(
    habits: Any, called: Any, days: Any, usual: Any, hour: int, muted: Any, whispers: Any,
    lasting: Any,
) -> None:  # fmt: skip
    """Judge and learn the hour that is over; counts are those of its slot.

    No array is handed on where nearly every edge comes by: its references would be counted.
    """
    chances = np.zeros(habits.size)
    due, silent = _due(habits, called, days, usual, hour, chances)
    learns = not muted.any()  # then nobody need be looked up
    lasted, silences = lasting[0], lasting[1]
    for k in range(habits.size):
        habit, chance = habits[k], chances[k]
        was_called = habit.last >= hour
        if habit.run > 0:
            lasted = lasted * 0.999 + (0.0 if was_called else 1.0)
            silences = silences * 0.999 + 1.0
        if was_called:
            habit.run, habit.surprise = 0, 0.0
        elif habit.hours >= _LEAST_HOURS:
            least = silent / due
            if habit.run == 0:
                least = (silent - chance) / (due - chance)
            else:
                least = max(least, lasted / silences)
            _silent(habit, chance, least)
            if habit.surprise > _LEAST:
                _whisper(habit, k, hour, whispers)
        if learns or not (muted[habit.source] or muted[habit.destination]):
            _note(habit, called, days, usual, k, was_called)
    lasting[0], lasting[1] = lasted, silences


@compiled
def _silent(habit: Any, chance: float, least: float) -> None:
    """Judge an hour without a call; a surprise that cannot grow is not computed."""
    if habit.surprise < _MOST:
        habit.surprise = min(habit.surprise - math.log(max(1.0 - chance, least)), _MOST)
    habit.run += 1


@compiled
def _whisper(habit: Any, k: int, hour: int, whispers: Any) -> None:
    """Have the source of a silent edge say so in the next hour, of its most surprising one."""
    whisper = whispers[habit.source]
    if whisper.hour != hour + 1:
        whisper.hour, whisper.surprise = hour + 1, 0.0
    if habit.surprise > whisper.surprise:
        whisper.surprise, whisper.edge = habit.surprise, k


@compiled
def _listen(
    edge: Any, source: Any, destination: Any, fresh: Any, hour: Any, muted: Any, habits: Any,
    called: Any, days: Any, usual: Any, known: Any, whispers: Any, last: Any, lasting: Any,
    out: Any,
) -> None:  # fmt: skip
    for i in range(edge.size):
        if hour[i] != last[0]:
            if last[0] == hour[i] - 1:  # else nobody called for an hour: nothing was written down
                slot, most = slot_of(last[0]), known[0]
                _close(
                    habits[:most], called[slot, :most], days[slot, :most], usual[slot % 24, :most],
                    last[0], muted, whispers, lasting,
                )  # fmt: skip
            last[0] = hour[i]
        if edge[i] < habits.size:
            habit = habits[edge[i]]
            if fresh[i, 2]:
                if habit.hours > 0.0:  # else nothing was noted
                    called[:, edge[i]] = 0
                    days[:, edge[i]] = 0
                    usual[:, edge[i]] = 0.0
                habit.run, habit.surprise, habit.active, habit.hours = 0, 0.0, 0.0, 0.0
                habit.last = 0
                known[0] = max(known[0], edge[i] + 1)
            habit.calls = habit.calls + 1.0 if habit.last == hour[i] else 1.0
            habit.last, habit.source, habit.destination = hour[i], source[i], destination[i]
        whisper = whispers[source[i]]
        if fresh[i, AS_SOURCE]:
            whisper.surprise = 0.0
        if whisper.hour == hour[i]:
            out[i] = whisper.surprise
