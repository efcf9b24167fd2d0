"""Rate: more calls in this minute, hour or day than the edge, its source, its destination make.

What a destination meets is said only of callers that have a part in it: whose edge is younger than
a day and came with no declared release, or itself made more calls than it does. A caller that calls
as it always did is not named because others came. What edges that a release brought and the policy
declares carry is counted by edge alone: it is no part of a fan, nor of what its parties usually do.
"""

import math
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import LEVEL, WINDOW, adds, count, forget, pools
from meshwarden.behaviour.detectors.contract import DESTINATION, Detector, Surprise, silent
from meshwarden.behaviour.ground import AS_DESTINATION, AS_SOURCE, Placed
from meshwarden.behaviour.season import SEASON, forget_hours
from meshwarden.behaviour.settings import Settings

_MINUTE: Final = 60_000_000_000
_SIZES: Final = 3  # a minute, an hour, a day
_PER_HOUR: Final = np.array([60, 1, 0])  # windows; a day has no hour
_EDGE, _SOURCE, _DESTINATION, _FAN_OUT, _FAN_IN = 0, 3, 5, 7, 10  # first channel of each
_NODES: Final = 2  # windows in which identities are counted; edges and fan-out in the day's too
_YOUNG: Final = 24  # hours
_PART: Final = 3.0  # nats; an edge with a part in it: such a window is one in twenty


class Rate(Detector):
    """Calls per window; the model is that of `counts`."""

    name: ClassVar[str] = "rate"
    channels: ClassVar[tuple[str, ...]] = (
        "edge minute", "edge hour", "edge day", "source minute", "source hour",
        "destination minute", "destination hour", "fan-out minute", "fan-out hour", "fan-out day",
        "fan-in minute", "fan-in hour",
    )  # fmt: skip
    families: ClassVar[tuple[str, ...]] = ("edge rate",) * 3 + ("node rate",) * 4 + ("fan",) * 5
    subjects: ClassVar[tuple[int, ...]] = (0, 0, 0, 1, 1, 2, 2, 1, 1, 1, 2, 2)
    tables: ClassVar[dict[str, str]] = {
        "edge": "edges",
        "source": "nodes",
        "destination": "nodes",
        "fan": "nodes",
        "season": "nodes",
    }

    def __init__(self, settings: Settings) -> None:
        edges, nodes = 1 << settings.edge_bits, 1 << settings.node_bits
        self.state = {
            "edges": np.zeros((3, edges), WINDOW, order="F"),
            "sources": np.zeros((2, nodes), WINDOW, order="F"),
            "destinations": np.zeros((2, nodes), WINDOW, order="F"),
            "fan-out": np.zeros((3, nodes), WINDOW, order="F"),
            "fan-in": np.zeros((2, nodes), WINDOW, order="F"),
            "source levels": np.zeros((3, nodes), LEVEL, order="F"),
            "destination levels": np.zeros((3, nodes), LEVEL, order="F"),
            "seasons": np.zeros((len(self.channels), nodes), SEASON, order="F"),
            "usual": np.zeros(len(self.channels), SEASON),
            "pool": pools(len(self.channels)),
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = silent(len(self.channels), len(placed))
        s = self.state
        _count(
            placed.edge, placed.source, placed.destination, placed.renewing(), muted,
            placed.expected, placed.clock, placed.hour, _PER_HOUR, s["edges"], s["source levels"],
            s["destination levels"], s["sources"], s["destinations"], s["fan-out"], s["fan-in"],
            s["seasons"], s["usual"], np.zeros(1, LEVEL), s["pool"], out,
        )  # fmt: skip
        out[_SOURCE:, placed.expected] = 0.0
        _spare(
            (placed.age < _YOUNG) & ~placed.graced, _SOURCE,
            np.flatnonzero(np.array(self.subjects) == DESTINATION), out,
        )  # fmt: skip
        return out


@compiled
def _count(
    edge: Any, source: Any, destination: Any, fresh: Any, muted: Any, expected: Any, clock: Any,
    hour: Any, per_hour: Any, edges: Any, ups: Any, downs: Any, sources: Any, destinations: Any,
    fan_out: Any, fan_in: Any, seasons: Any, usual: Any, nothing: Any, pool: Any, out: Any,
) -> None:  # fmt: skip
    """Count each call in every window of all whom it concerns; an edge's first is its fan's."""
    for i in range(edge.size):
        a, b = source[i], destination[i]
        new_a, new_b, new_edge = fresh[i, 0], fresh[i, 1], fresh[i, 2]
        mute_a, mute_b = muted[a], muted[b]
        one = 0.0 if expected[i] else 1.0
        minute = clock[i] // _MINUTE
        if fresh[i, AS_SOURCE]:
            _begin(fan_out, seasons, _FAN_OUT, a)
            _begin(sources, seasons, _SOURCE, a)
        if fresh[i, AS_DESTINATION]:
            _begin(fan_in, seasons, _FAN_IN, b)
            _begin(destinations, seasons, _DESTINATION, b)
        for w in range(_SIZES):
            now = minute if w == 0 else hour[i] if w == 1 else hour[i] // 24
            hours, up, down = per_hour[w], ups[w, a], downs[w, b]
            if fresh[i, AS_SOURCE]:
                up.weight = up.mean = 0.0
                forget_hours(seasons[_EDGE + w, a])
            if fresh[i, AS_DESTINATION]:
                down.weight = down.mean = 0.0
            c, opened = _EDGE + w, False
            record = edges[w, edge[i]]
            if not adds(record, new_edge, now, 1.0):
                _, opened = count(
                    record, new_edge, mute_a or mute_b, now, 1.0, pool[c], up, down,
                    seasons[c, a], usual[c], hours, math.nan,
                )  # fmt: skip
            out[c, i] = record.surprise
            fan = one if opened else 0.0
            c, record = _FAN_OUT + w, fan_out[w, a]
            if not adds(record, new_a, now, fan):
                _alone(
                    record, new_a, mute_a, now, fan, pool[c], nothing, seasons[c, a], usual[c],
                    hours,
                )  # fmt: skip
            out[c, i] = record.surprise
            if w >= _NODES:
                continue
            c, record = _FAN_IN + w, fan_in[w, b]
            if not adds(record, new_b, now, fan):
                _alone(
                    record, new_b, mute_b, now, fan, pool[c], nothing, seasons[c, b], usual[c],
                    hours,
                )  # fmt: skip
            out[c, i] = record.surprise
            c, record = _SOURCE + w, sources[w, a]
            if not adds(record, new_a, now, one):
                _alone(
                    record, new_a, mute_a, now, one, pool[c], nothing, seasons[c, a], usual[c],
                    hours,
                )  # fmt: skip
            out[c, i] = record.surprise
            c, record = _DESTINATION + w, destinations[w, b]
            if not adds(record, new_b, now, one):
                _alone(
                    record, new_b, mute_b, now, one, pool[c], nothing, seasons[c, b], usual[c],
                    hours,
                )  # fmt: skip
            out[c, i] = record.surprise


@compiled
def _begin(records: Any, seasons: Any, channel: int, number: int) -> None:
    """Clear what another identity may have left under a number, in all windows."""
    for w in range(len(records)):
        forget(records[w, number])
        records[w, number].window = -1
        forget_hours(seasons[channel + w, number])


@compiled
def _alone(
    record: Any, fresh: bool, mute: bool, window: int, amount: float, pool: Any, nothing: Any,
    season: Any, everyone: Any, per_hour: int,
) -> None:  # fmt: skip
    """Count for an identity, which has no others to be judged by; `nothing` is one empty LEVEL."""
    nothing[0].weight = 0.0
    count(
        record, fresh, mute, window, amount, pool, nothing[0], nothing[0], season, everyone,
        per_hour, math.nan,
    )  # fmt: skip


@compiled
def _spare(young: Any, own: int, channels: Any, out: Any) -> None:
    """Silence `channels` at calls of edges that are neither young nor, by their own, unusual."""
    for i in range(young.size):
        part = young[i]
        for c in range(own):
            part = part or out[c, i] >= _PART
        if not part:
            for c in channels:
                out[c, i] = 0.0
