"""Volume: more octets out than the edge sends, in one call, in an hour, or a little more for days.

Three views of the octets that a source sends to a destination (and, for pulls, receives from it):

- one call: log octets against the edge's calls, by the model of `counts`;
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
from meshwarden.behaviour.counts import LEVEL, SINGLE, WINDOW, Array, adds, count, forget, pools
from meshwarden.behaviour.detectors.contract import Detector, Surprise, silent
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.season import SEASON, forget_hours
from meshwarden.behaviour.settings import Settings

_ALLOWANCE: Final = 0.5
_MOST: Final = 60.0
_VIEWS: Final = ("calls", "hours", "received")
_HOURS: Final = 1  # the view that is summed up
_ROWS: Final = (0, 1, 3)  # channel of each view
_SLOW: Final = 2


class Volume(Detector):
    """Octets per call, hour and over days."""

    name: ClassVar[str] = "volume"
    channels: ClassVar[tuple[str, ...]] = (
        "octets sent in a call", "octets sent in an hour", "octets sent for days",
        "octets received in an hour",
    )  # fmt: skip
    families: ClassVar[tuple[str, ...]] = ("volume",) * 4
    subjects: ClassVar[tuple[int, ...]] = (0, 0, 0, 0)
    tables: ClassVar[dict[str, str]] = {
        "calls": "edges",
        "hours": "edges",
        "received": "edges",
        "sums": "edges",
        "season": "nodes",
        "up": "nodes",
        "down": "nodes",
    }

    def __init__(self, settings: Settings) -> None:
        edges, nodes = 1 << settings.edge_bits, 1 << settings.node_bits
        self.state = {
            "calls": np.zeros(edges, WINDOW),
            "hours": np.zeros(edges, WINDOW),
            "received": np.zeros(edges, WINDOW),
            "sums": np.zeros(edges, np.float32),
            "pool": pools(len(_VIEWS)),
            **{f"season {k}": np.zeros(nodes, SEASON) for k in range(3)},
            **{f"usual {k}": np.zeros(1, SEASON) for k in range(3)},
            **{f"{side} {k}": np.zeros(nodes, LEVEL) for side in ("up", "down") for k in range(3)},
        }
        self.state["pool"]["mean"] = 6.0

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = silent(4, len(placed))
        calls, s = placed.calls, self.state
        if (calls.sent < 0).all() and (calls.received < 0).all():
            return out
        fresh = placed.renewing()
        mute = muted[placed.source] | muted[placed.destination]
        octets = np.stack([calls.sent, calls.sent, calls.received])
        learn: Any = _sum
        learn(
            placed.edge, placed.source, placed.destination, fresh, mute, placed.hour, octets,
            tuple(s[name] for name in _VIEWS), s["pool"], *(
                tuple(s[f"{part} {k}"] for k in range(3))
                for part in ("up", "down", "season", "usual")
            ), s["sums"], out,
        )  # fmt: skip
        return out


@compiled
def _sum(
    edge: Array, source: Array, destination: Array, fresh: Array, mute: Array, hour: Array,
    octets: Array, records: Any, pool: Array, ups: Any, downs: Any, seasons: Any, everyone: Any,
    sums: Array, out: Array,
) -> None:  # fmt: skip
    for i in range(edge.size):
        call, hours = records[0][edge[i]], records[1][edge[i]]
        for k in range(3):
            record, up, down = records[k][edge[i]], ups[k][source[i]], downs[k][destination[i]]
            season = seasons[k][source[i]]
            if fresh[i, 5]:
                up.weight = up.mean = 0.0
                forget_hours(season)
            if fresh[i, 6]:
                down.weight = down.mean = 0.0
            if fresh[i, 2]:
                forget(record)
                record.window = -1
                if k == _HOURS:
                    sums[edge[i]] = 0.0
            row = _ROWS[k]
            if octets[k, i] >= 0.0:
                number = record.window + 1 if k == 0 else hour[i]
                if k == _HOURS and record.window != number and record.weight >= 12.0:
                    _cumulate(record, sums, edge[i])
                if adds(record, False, number, octets[k, i] + 1.0):
                    out[row, i] = record.surprise
                    continue
                events = math.inf
                if k > 0 and call.weight > 0.0 and hours.weight > 0.0:
                    events = hours.center - call.mean
                out[row, i], _ = count(
                    record, False, mute[i], number, octets[k, i] + 1.0, pool[k], up, down, season,
                    everyone[k][0], 1 if k > 0 else SINGLE, events,
                )  # fmt: skip
            elif k > 0 and record.window == hour[i]:
                out[row, i] = record.surprise
        if sums[edge[i]] > 1.0:
            out[_SLOW, i] = sums[edge[i]]


@compiled
def _cumulate(record: Any, sums: Array, edge: int) -> None:
    """Add the hour that is over to the edge's sum."""
    if record.count > 0.0:
        step = (math.log(record.count) - record.center) / record.deviation - _ALLOWANCE
        sums[edge] = min(max(sums[edge] + min(step, 3.0), 0.0), _MOST)
