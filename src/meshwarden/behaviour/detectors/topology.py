"""Topology: who calls whom for the first time.

Each identity has a rate of new destinations, and one of new sources, per hour of the calendar; each
a Gamma-Poisson estimate shrunk towards all identities', forgetting over a week. A first contact
surprises by both of its ends: ``-ln P(such news in an hour)`` for the source plus the same for the
destination. A gateway that meets strangers all day makes a new one unremarkable; two parties that
never meet anyone make it remarkable. A party that nobody ever saw has no rate of its own: there the
whole network's rate of new parties counts. New services on a known edge likewise.

The birth's surprise stays with an edge while it is young. What one identity teaches in an hour is
bounded, and nothing is learned from whom alarms.
"""

import math
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.declared import ALLOWED, DENIED, GRACE
from meshwarden.behaviour.detectors.contract import Detector, Surprise, silent
from meshwarden.behaviour.ground import AS_DESTINATION, AS_SOURCE, Placed
from meshwarden.behaviour.settings import Settings

NEWS: Final = np.dtype([("hour", "i4"), ("now", "f4"), ("events", "f4"), ("hours", "f4")])
BORN: Final = np.dtype([("birth", "f4"), ("hour", "i4"), ("hours", "u1")])
_MEMORY: Final = 168.0  # hours
_PRIOR: Final = 24.0  # hours that the others' rate is worth
_MOST: Final = 3.0  # news that one identity teaches in an hour
_OLD: Final = 255  # hours in which an edge was seen: no birth is news for so long
_NEVER: Final = 0.5  # news that are assumed before any


class Topology(Detector):
    """First contacts between identities, and first uses of a service."""

    name: ClassVar[str] = "topology"
    channels: ClassVar[tuple[str, ...]] = ("new edge", "new service")
    families: ClassVar[tuple[str, ...]] = ("new", "new")
    subjects: ClassVar[tuple[int, ...]] = (0, 0)
    tables: ClassVar[dict[str, str]] = {
        "sources": "nodes",
        "destinations": "nodes",
        "users": "nodes",
        "offers": "nodes",
        "edges": "edges",
        "links": "links",
    }

    def __init__(self, settings: Settings) -> None:
        nodes = 1 << settings.node_bits
        self._warm_up_ns = int(settings.warm_up_minutes * 60_000_000_000)
        self.state = {
            **{
                k: np.zeros((2, nodes), NEWS)
                for k in ("sources", "destinations", "users", "offers")
            },
            "edges": np.zeros(1 << settings.edge_bits, BORN),
            "links": np.zeros(1 << settings.link_bits, BORN),
            "all": np.zeros((2, 4), NEWS),
            "pooled": np.tile(np.array([0.5, 1.0]), (2, 4, 1)),
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = silent(2, len(placed))
        s, fresh = self.state, placed.fresh
        mute = muted[placed.source] | muted[placed.destination]
        new = (fresh[:, 2], fresh[:, 4] & ~fresh[:, 2])
        kinds = ((fresh[:, 0], fresh[:, 1]), (fresh[:, 0], fresh[:, 3]))
        names = (("sources", "destinations", "edges"), ("users", "offers", "links"))
        warm = placed.clock - placed.began >= self._warm_up_ns
        for c, key in enumerate((placed.edge, placed.link)):
            ups, downs, births = (s[name] for name in names[c])
            _observe(
                placed.source, placed.destination, key, new[c], fresh[:, (2, 4)[c]], fresh,
                kinds[c][0], kinds[c][1],
                placed.hour, mute, warm, placed.stance, placed.unlike, ups, downs, births,
                s["all"][c], s["pooled"][c], out[c],
            )  # fmt: skip
        return out


@compiled
def _turn(record: Any, pooled: NDArray[np.float64], hour: int, mute: bool) -> None:
    """Learn the hour that is over, and forget a little."""
    passed = float(hour - record.hour)
    if passed <= 0.0:
        return
    learned = 0.0 if mute else min(record.now, _MOST)
    keep = math.exp(-passed / _MEMORY)
    record.events = (record.events + learned) * keep
    record.hours = record.hours * keep + _MEMORY * (1.0 - keep)
    pooled[0] *= 0.9999
    pooled[1] = pooled[1] * 0.9999 + min(passed, _MEMORY)
    record.hour, record.now = hour, 0.0


@compiled
def _surprise(record: Any, pooled: NDArray[np.float64]) -> float:
    usual = pooled[0] / pooled[1]
    events = record.events + min(record.now, _MOST) + _NEVER * min(record.hours / _PRIOR, 1.0)
    rate = (_PRIOR * usual + events) / (_PRIOR + record.hours)
    return -math.log(1.0 - math.exp(-rate))


@compiled
def _clear(record: Any, hour: int) -> None:
    record.hour, record.now, record.events, record.hours = hour, 0.0, 0.0, 0.0


@compiled
def _observe(
    source: Any, destination: Any, key: Any, new: Any, given: Any, fresh: Any, new_up: Any,
    new_down: Any, hour: Any, mute: Any, warm: Any, stance: Any, unlike: Any,
    ups: Any, downs: Any, births: Any, everyone: Any, pooled: Any, out: Any,
) -> None:  # fmt: skip
    for i in range(source.size):
        a, b = source[i], destination[i]
        if fresh[i, AS_SOURCE]:
            since = hour[i] if fresh[i, 0] else 0  # a server so far: it is taken to call nobody
            _clear(ups[0, a], since)
            _clear(ups[1, a], since)
        if fresh[i, AS_DESTINATION]:
            since = hour[i] if fresh[i, 1] else 0
            _clear(downs[0, b], since)
            _clear(downs[1, b], since)
        edge = births[key[i]]
        if new[i]:
            ku, kd = int(new_down[i]), int(new_up[i])
            up = everyone[0] if fresh[i, 0] else ups[ku, a]
            down = everyone[1] if new_down[i] else downs[kd, b]
            if fresh[i, 0] and everyone[0].hour == 0:
                everyone[0].hour = everyone[1].hour = hour[i]
            _turn(up, pooled[ku], hour[i], mute[i])
            _turn(down, pooled[2 + kd], hour[i], mute[i])
            news = _surprise(up, pooled[ku]) + _surprise(down, pooled[2 + kd])
            edge.birth = max(news + unlike[i], 0.0)
            if not warm[i] or stance[i] == GRACE:
                edge.birth = 0.0
            elif stance[i] == ALLOWED:
                edge.birth *= 0.1
            elif stance[i] == DENIED:
                edge.birth += 5.0
            edge.hour, edge.hours = hour[i], 1
            if not mute[i]:
                pooled[ku, 0] += up.now < _MOST
                pooled[2 + kd, 0] += down.now < _MOST
            up.now += 1.0
            down.now += 1.0
            if fresh[i, 0]:
                ups[ku, a].now += 1.0
            if new_down[i]:
                downs[kd, b].now += 1.0
        elif given[i]:  # with its edge: what another left under the number is no birth
            edge.birth, edge.hour, edge.hours = 0.0, hour[i], 1
        elif edge.hour != hour[i]:
            edge.hour = hour[i]
            if not mute[i]:
                edge.hours = min(edge.hours + 1, _OLD)
        hours = float(edge.hours)
        if edge.birth > hours * hours:
            out[i] = edge.birth / (hours * hours)
