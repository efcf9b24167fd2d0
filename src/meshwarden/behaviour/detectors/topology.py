"""Topology: who calls whom for the first time.

New destinations per active hour of a source, new sources per active hour of a destination, and new
identities per hour of the whole are counts with a Gamma rate of their own (Poisson-Gamma, so a
negative binomial predictive), shrunk towards all other identities'. A first contact surprises by
both of its ends: a gateway that meets strangers all day makes a new one unremarkable, two parties
that never meet anyone make it remarkable. The birth's surprise stays with the edge while it is
young.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.detectors.contract import Detector, Surprise
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.settings import Settings
from meshwarden.behaviour.surprise import count_tail

NOVEL = np.dtype([("hour", "i4"), ("now", "f4"), ("events", "f4"), ("hours", "f4")])
BORN = np.dtype([("birth", "f4"), ("hour", "i4"), ("hours", "i4")])
_SHAPE = 0.3


class Topology(Detector):
    """First contacts between identities, and first uses of a service."""

    name: ClassVar[str] = "topology"
    channels: ClassVar[tuple[str, ...]] = ("new edge", "new service")

    def __init__(self, settings: Settings) -> None:
        nodes = 1 << settings.node_bits
        self.state = {
            "sources": np.zeros(nodes, NOVEL),
            "destinations": np.zeros(nodes, NOVEL),
            "users": np.zeros(nodes, NOVEL),
            "offers": np.zeros(nodes, NOVEL),
            "edges": np.zeros(1 << settings.edge_bits, BORN),
            "links": np.zeros(1 << settings.link_bits, BORN),
            "pooled": np.ones((4, 2)),
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = np.zeros((len(placed), 2), np.float32)
        s = self.state
        _observe(
            placed.source, placed.destination, placed.edge, placed.fresh[:, 2], placed.fresh,
            placed.hour, muted, s["sources"], s["destinations"], s["edges"], s["pooled"][:2],
            out[:, 0],
        )  # fmt: skip
        _observe(
            placed.source, placed.destination, placed.link, placed.fresh[:, 4], placed.fresh,
            placed.hour, muted, s["users"], s["offers"], s["links"], s["pooled"][2:],
            out[:, 1],
        )  # fmt: skip
        return out


@compiled
def _turn(record: Any, pooled: NDArray[np.float64], hour: int, muted: bool) -> None:
    """Close the record's hour and open the next."""
    if not muted:
        expected = (_SHAPE + record.events) / (_SHAPE * pooled[1] / pooled[0] + record.hours)
        learned = min(record.now, 2.0 + 2.0 * expected)
        record.events = record.events * 0.98 + learned
        record.hours = record.hours * 0.98 + 1.0
        pooled[0] = pooled[0] * 0.9999 + learned
        pooled[1] = pooled[1] * 0.9999 + 1.0
    record.hour, record.now = hour, 0.0


@compiled
def _tail(record: Any, pooled: NDArray[np.float64]) -> float:
    exposure = _SHAPE * pooled[1] / pooled[0] + record.hours
    return count_tail(record.now, _SHAPE + record.events, exposure)


@compiled
def _observe(
    source: Any, destination: Any, key: Any, born: Any, fresh: Any, hour: Any, muted: Any,
    sources: Any, destinations: Any, births: Any, pooled: Any, out: Any,
) -> None:  # fmt: skip
    for i in range(source.size):
        s, d = sources[source[i]], destinations[destination[i]]
        if fresh[i, 0]:
            s.hour, s.now, s.events, s.hours = hour[i], 0.0, 0.0, 0.0
        if fresh[i, 1]:
            d.hour, d.now, d.events, d.hours = hour[i], 0.0, 0.0, 0.0
        if key[i] < 0:
            continue
        if s.hour != hour[i]:
            _turn(s, pooled[0], hour[i], muted[source[i]])
        if d.hour != hour[i]:
            _turn(d, pooled[1], hour[i], muted[source[i]])
        edge = births[key[i]]
        if born[i]:
            s.now += 1.0
            d.now += 1.0
            edge.birth = _tail(s, pooled[0]) + _tail(d, pooled[1])
            edge.hour, edge.hours = hour[i], 1
        elif edge.hour != hour[i]:
            edge.hour = hour[i]
            if not muted[source[i]]:
                edge.hours += 1
        out[i] = edge.birth / (edge.hours * edge.hours)
