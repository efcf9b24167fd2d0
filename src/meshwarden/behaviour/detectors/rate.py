"""Rate: more calls in this minute, hour or day than the edge, its source, its destination make.

What a destination meets is said only of callers that have a part in it: whose edge is younger than
a day and came with no declared release, or itself made more calls than it does. A caller that calls
as it always did is not named because others came. What edges that a release brought and the policy
declares carry is counted by edge alone: it is no part of a fan, nor of what its parties usually do.
"""

from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import LEVEL, POOL, WINDOW, count_edges, count_nodes
from meshwarden.behaviour.detectors.contract import DESTINATION, Detector, Surprise
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.season import SEASON
from meshwarden.behaviour.settings import Settings

_MINUTE: Final = 60_000_000_000
_SIZES: Final = (_MINUTE, 60 * _MINUTE, 24 * 60 * _MINUTE)
_WORDS: Final = ("minute", "hour", "day")
_PER_HOUR: Final = {"minute": 60, "hour": 1, "day": 0}
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
            c: np.zeros(edges if c[:4] == "edge" else nodes, WINDOW) for c in self.channels
        }
        for word in _WORDS:
            self.state[f"source level {word}"] = np.zeros(nodes, LEVEL)
            self.state[f"destination level {word}"] = np.zeros(nodes, LEVEL)
        for c in self.channels:
            self.state[f"season {c}"] = np.zeros(nodes, SEASON)
            self.state[f"usual {c}"] = np.zeros(1, SEASON)
        self.state["edge born"] = np.zeros(edges, np.int32)
        self.state["pool"] = np.tile(POOL, (len(self.channels), 1))

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = np.zeros((len(self.channels), len(placed)), np.float32)
        unexpected, fresh = ~placed.expected, placed.renewing()
        either = muted[placed.source] | muted[placed.destination]
        for size, word in zip(_SIZES, _WORDS, strict=True):
            window = (placed.clock // size).astype(np.int32)
            opened = np.zeros(len(placed), np.bool_)
            c = self.channels.index(f"edge {word}")
            count_edges(
                placed.edge, fresh, either, window, self.state[f"edge {word}"],
                self.state["pool"][c], placed.source, placed.destination,
                self.state[f"source level {word}"], self.state[f"destination level {word}"],
                out[c], opened, self.state[f"season edge {word}"],
                self.state[f"usual edge {word}"], _PER_HOUR[word],
            )  # fmt: skip
            for name, amount in (
                ("source", unexpected),
                ("destination", unexpected),
                ("fan-out", opened & unexpected),
                ("fan-in", opened & unexpected),
            ):
                if f"{name} {word}" in self.channels:
                    self._nodes(f"{name} {word}", placed, window, amount, muted, out)
        _spare(
            placed.edge, placed.fresh, placed.graced, placed.hour, self.state["edge born"],
            out[: len(_SIZES)], np.flatnonzero(np.array(self.subjects) == DESTINATION), out,
        )  # fmt: skip
        return out

    def _nodes(
        self,
        channel: str,
        placed: Placed,
        window: NDArray[np.int32],
        amount: NDArray[np.bool_],
        muted: NDArray[np.bool_],
        out: Surprise,
    ) -> None:
        c = self.channels.index(channel)
        side = self.subjects[c] - 1
        node = (placed.source, placed.destination)[side]
        count_nodes(
            node, placed.fresh[:, side], muted[node], window, amount, self.state[channel],
            self.state["pool"][c], np.zeros(1, LEVEL), out[c],
            self.state[f"season {channel}"], self.state[f"usual {channel}"],
            _PER_HOUR[channel.rsplit(maxsplit=1)[-1]],
        )  # fmt: skip


@compiled
def _spare(
    edge: Any, fresh: Any, graced: Any, hour: Any, born: Any, own: Any, channels: Any, out: Any
) -> None:
    """Silence `channels` at calls of edges that are neither young nor, by `own`, unusual."""
    for i in range(edge.size):
        if fresh[i, 2]:
            born[edge[i]] = hour[i]
        young = hour[i] - born[edge[i]] < _YOUNG and not graced[i]
        if young or own[:, i].max() >= _PART:
            continue
        for c in channels:
            out[c, i] = 0.0
