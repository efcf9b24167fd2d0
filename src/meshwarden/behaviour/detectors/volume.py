"""Volume: more octets out than the edge sends, in an hour, or a little more for days.

Two views of the octets that a source sends to a destination (and, for pulls, receives from it);
what a single call has is a matter of its `shape`:

- an hour: log of the hour's sum against the edge's hours. An edge without history is judged by
  others', so that a bulk transfer to a destination never seen before stands out at once;
- a cumulative sum (CUSUM: Page, Biometrika 1954) of the hourly deviations, in deviations, with an
  allowance of half of one: a slow leak that never stands out in any hour adds up over days. By
  Wald's identity ``2 * 0.5 * sum`` nats is its surprise where hours are normal.

Where no sizes are known nothing is said.
"""

import math
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import LEVEL, WINDOW, Array, adds, count, forget, pools
from meshwarden.behaviour.detectors.contract import Detector, Surprise, silent
from meshwarden.behaviour.ground import AS_DESTINATION, AS_SOURCE, Placed
from meshwarden.behaviour.season import SEASON, forget_hours
from meshwarden.behaviour.settings import Settings

_ALLOWANCE: Final = 0.5
_MOST: Final = 60.0
_VIEWS: Final = ("sent", "received")  # in an hour
_SENT: Final = 0  # the view that is summed up
_SLOW: Final = 2  # its channel
_MEMORY: Final = 400.0  # calls that an edge's usual octets are a mean of


class Volume(Detector):
    """Octets per hour and over days."""

    name: ClassVar[str] = "volume"
    channels: ClassVar[tuple[str, ...]] = (
        "octets sent in an hour", "octets received in an hour", "octets sent for days",
    )  # fmt: skip
    families: ClassVar[tuple[str, ...]] = ("volume",) * 3
    subjects: ClassVar[tuple[int, ...]] = (0, 0, 0)
    tables: ClassVar[dict[str, str]] = {
        "call": "edges",
        "sent": "edges",
        "received": "edges",
        "sums": "edges",
        "season": "nodes",
        "up": "nodes",
        "down": "nodes",
    }

    def __init__(self, settings: Settings) -> None:
        edges, nodes = 1 << settings.edge_bits, 1 << settings.node_bits
        self.state = {
            "call": np.zeros(edges, LEVEL),
            "sent": np.zeros(edges, WINDOW),
            "received": np.zeros(edges, WINDOW),
            "sums": np.zeros(edges, np.float32),
            "pool": pools(len(_VIEWS)),
            "stated": np.zeros(1, np.bool_),  # by any call so far
            **{f"season {k}": np.zeros(nodes, SEASON) for k in range(2)},
            **{f"usual {k}": np.zeros(1, SEASON) for k in range(2)},
            **{f"{side} {k}": np.zeros(nodes, LEVEL) for side in ("up", "down") for k in range(2)},
        }
        self.state["pool"]["mean"] = 6.0

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = silent(3, len(placed))
        calls, s = placed.calls, self.state
        stated = s["stated"]
        stated |= (calls.sent >= 0).any() or (calls.received >= 0).any()
        if not stated[0]:
            return out
        fresh = placed.renewing()
        mute = muted[placed.source] | muted[placed.destination]
        octets = np.stack([calls.sent, calls.received])
        learn: Any = _sum
        learn(
            placed.edge, placed.source, placed.destination, fresh, mute, placed.hour,
            placed.ripeness, octets, s["call"], tuple(s[name] for name in _VIEWS), s["pool"], *(
                tuple(s[f"{part} {k}"] for k in range(2))
                for part in ("up", "down", "season", "usual")
            ), s["sums"], out,
        )  # fmt: skip
        return out


@compiled
def _sum(
    edge: Array, source: Array, destination: Array, fresh: Array, mute: Array, hour: Array,
    ripeness: Array, octets: Array, calls: Array, records: Any, pool: Array, ups: Any, downs: Any,
    seasons: Any, everyone: Any, sums: Array, out: Array,
) -> None:  # fmt: skip
    for i in range(edge.size):
        call, sent = calls[edge[i]], records[_SENT][edge[i]]
        if fresh[i, 2]:
            call.weight = call.mean = 0.0
        for k in range(2):
            record, up, down = records[k][edge[i]], ups[k][source[i]], downs[k][destination[i]]
            season = seasons[k][source[i]]
            if fresh[i, AS_SOURCE]:
                up.weight = up.mean = 0.0
                forget_hours(season)
            if fresh[i, AS_DESTINATION]:
                down.weight = down.mean = 0.0
            if fresh[i, 2]:
                forget(record)
                record.window = -1
                if k == _SENT:
                    sums[edge[i]] = 0.0
            if octets[k, i] < 0.0:
                if record.window == hour[i]:
                    out[k, i] = record.surprise
                continue
            if k == _SENT and record.window != hour[i] and record.weight >= 12.0:
                _cumulate(record, sums, edge[i], ripeness[i])
            if adds(record, False, hour[i], octets[k, i] + 1.0):
                out[k, i] = record.surprise
                continue
            events = math.inf
            if call.weight > 0.0 and sent.weight > 0.0:
                events = sent.center - call.mean
            out[k, i], _ = count(
                record, False, mute[i], hour[i], octets[k, i] + 1.0, pool[k], up, down, season,
                everyone[k][0], 1, events,
            )  # fmt: skip
        if octets[_SENT, i] >= 0.0 and not mute[i]:
            call.weight = min(call.weight + 1.0, _MEMORY)
            call.mean += (math.log(octets[_SENT, i] + 1.0) - call.mean) / call.weight
        if sums[edge[i]] > 1.0:
            out[_SLOW, i] = sums[edge[i]]


@compiled
def _cumulate(record: Any, sums: Array, edge: int, ripeness: float) -> None:
    """Add the hour that is over to the edge's sum; while a release is young, a part of it."""
    if record.count > 0.0:
        step = (math.log(record.count) - record.center) / record.deviation - _ALLOWANCE
        sums[edge] = min(max(sums[edge] + ripeness * min(step, 3.0), 0.0), _MOST)
