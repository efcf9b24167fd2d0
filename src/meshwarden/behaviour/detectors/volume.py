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
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import LEVEL, POOL, WINDOW, Array, count
from meshwarden.behaviour.detectors.contract import Detector, Surprise, silent
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.season import SEASON
from meshwarden.behaviour.settings import Settings

_ALLOWANCE: Final = 0.5
_MOST: Final = 60.0


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
            "pool": np.tile(POOL * np.array([1, 6, 1, 1, 1]), (3, 1)),
            **{f"season {k}": np.zeros(nodes, SEASON) for k in range(3)},
            **{f"usual {k}": np.zeros(1, SEASON) for k in range(3)},
            **{f"{side} {k}": np.zeros(nodes, LEVEL) for side in ("up", "down") for k in range(3)},
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = silent(4, len(placed))
        calls, s = placed.calls, self.state
        if (calls.sent < 0).all() and (calls.received < 0).all():
            return out
        fresh = placed.renewing()
        mute = muted[placed.source] | muted[placed.destination]
        minute = np.arange(len(placed), dtype=np.int32)
        views = (
            ("calls", calls.sent, minute, out[0]),
            ("hours", calls.sent, placed.hour, out[1]),
            ("received", calls.received, placed.hour, out[3]),
        )
        for k, (name, octets, window, result) in enumerate(views):
            _sum(
                placed.edge, placed.source, placed.destination, fresh, mute, window, octets,
                s[name], s["pool"][k], s[f"up {k}"], s[f"down {k}"], s["sums"], k == 1, out[2],
                k == 0, result, s[f"season {k}"], s[f"usual {k}"],
            )  # fmt: skip
        return out


@compiled
def _sum(
    edge: Array, source: Array, destination: Array, fresh: Array, mute: Array, window: Array,
    octets: Array, records: Array, pool: Array, ups: Array, downs: Array, sums: Array,
    cumulate: bool, slow: Array, single: bool, out: Array, seasons: Array, everyone: Array,
) -> None:  # fmt: skip
    for i in range(edge.size):
        record, up, down = records[edge[i]], ups[source[i]], downs[destination[i]]
        season = seasons[source[i]]
        if fresh[i, 0]:
            up.weight = up.mean = 0.0
            season.weight[:] = 0.0
        if fresh[i, 1]:
            down.weight = down.mean = 0.0
        if fresh[i, 2]:
            record.weight = record.mean = record.square = record.count = 0.0
            record.window = -1
            if cumulate:
                sums[edge[i]] = 0.0
        if octets[i] >= 0.0:
            number = record.window + 1 if single else window[i]
            if (
                cumulate
                and record.window != number
                and record.count > 0.0
                and record.weight >= 12.0
            ):
                step = (math.log(record.count) - record.center) / record.deviation - _ALLOWANCE
                sums[edge[i]] = min(max(sums[edge[i]] + min(step, 3.0), 0.0), _MOST)
            out[i], _ = count(
                record, False, mute[i], number, octets[i] + 1.0, pool, up, down, season,
                everyone[0], 0 if single else 1,
            )  # fmt: skip
        elif not single and record.window == window[i]:
            out[i] = record.surprise
        if cumulate and sums[edge[i]] > 1.0:
            slow[i] = sums[edge[i]]
