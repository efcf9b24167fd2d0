"""Payload shape: what calls come to, how large they are, how their bodies are built.

All but one channel are about what one service uses of another (an edge and a route, or a port):

- failures: a run of failed calls on an edge, whatever it uses (`outcomes`); a young edge is judged
  by who else calls that destination;
- status mix: a run of one kind of failure at one route; a young one is judged by who else uses it.
  An edge that fails often at one route has no excuse at another, and being refused none by having
  been in error;
- success: a run of answers at a route where there were none;
- octets sent, received in a call: more than such calls have (`sizes`);
- structure: where a source carries `shape` (OpenTelemetry and CSV can, Envoy's log does not), the
  chance of a never seen structure on an edge that was seen often: Laplace's rule of succession.
"""

import math
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import LEVEL, Array
from meshwarden.behaviour.detectors.contract import Detector, Surprise, silent
from meshwarden.behaviour.ground import AS_DESTINATION, AS_SOURCE, Placed
from meshwarden.behaviour.outcomes import KINDS, TEACHER, past_of, run_of, runs
from meshwarden.behaviour.settings import Settings
from meshwarden.behaviour.sizes import SIZE, TALLY, size, sizes, tally
from meshwarden.behaviour.tables import pair

SHAPES: Final = np.dtype([("seen", "u2"), ("kinds", "u1"), ("bits", "u8")])
_FAILURES, _MIX, _SUCCESS, _SENT, _RECEIVED, _STRUCTURE = range(6)
_FAILED_OR_NOT: Final = 2


class Shape(Detector):
    """Outcomes, sizes, and structures of bodies."""

    name: ClassVar[str] = "shape"
    channels: ClassVar[tuple[str, ...]] = (
        "failures", "status mix", "success", "octets sent in a call", "octets received in a call",
        "body structure",
    )  # fmt: skip
    families: ClassVar[tuple[str, ...]] = (
        "answers", "answers", "answers", "volume", "volume", "body structure",
    )  # fmt: skip
    subjects: ClassVar[tuple[int, ...]] = (0,) * 6
    tables: ClassVar[dict[str, str]] = {
        "edge": "edges",
        "destination": "nodes",
        "link": "links",
        "offer": "offers",
        "caller": "nodes",
    }

    def __init__(self, settings: Settings) -> None:
        edges, links = 1 << settings.edge_bits, 1 << settings.link_bits
        offers, nodes = 1 << settings.link_bits - 2, 1 << settings.node_bits
        self.state = {
            "edge runs": np.zeros(edges, run_of(_FAILED_OR_NOT)),
            "destination runs": np.zeros(nodes, past_of(_FAILED_OR_NOT)),
            "caller failures": np.zeros(nodes, TEACHER),
            "all failures": np.zeros(_FAILED_OR_NOT),
            "link runs": np.zeros(links, run_of(KINDS)),
            "offer runs": np.zeros(offers, past_of(KINDS)),
            "caller kinds": np.zeros(nodes, TEACHER),
            "all kinds": np.zeros(KINDS),
            "link sizes": np.zeros((2, links), SIZE, order="F"),
            "link calls": np.zeros(links, TALLY),
            "offer sizes": np.zeros((2, offers), LEVEL, order="F"),
            "caller sizes": np.zeros((2, nodes), LEVEL, order="F"),
            "all sizes": np.tile(sizes(), 2),
            "edge shapes": np.zeros(edges, SHAPES),
            "stated": np.zeros(3, np.bool_),  # outcomes, sizes, structures: by any call so far
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = silent(len(self.channels), len(placed))
        mute = muted[placed.source] | muted[placed.destination]
        calls, fresh, s, stated = placed.calls, placed.fresh, self.state, self.state["stated"]
        stated |= [
            (calls.outcome >= 0).any(),
            (calls.sent >= 0).any() or (calls.received >= 0).any(),
            calls.shape.any(),
        ]
        if stated[0]:
            self._observe_outcomes(placed, mute, out)
        if stated[1]:
            self._observe_sizes(placed, mute, out[_SENT : _RECEIVED + 1])
        if stated[2]:
            _structures(
                placed.edge, fresh[:, 2], calls.service, calls.shape, mute, s["edge shapes"],
                out[_STRUCTURE],
            )  # fmt: skip
        return out

    def _observe_outcomes(self, placed: Placed, mute: NDArray[np.bool_], out: Surprise) -> None:
        outcome, fresh, s = placed.calls.outcome, placed.fresh, self.state
        runs(
            placed.edge, fresh[:, 2], placed.source, placed.destination, fresh[:, AS_DESTINATION],
            outcome, placed.hour, mute, placed.tainted, s["edge runs"], s["destination runs"],
            s["caller failures"], s["all failures"], out[_FAILURES : _FAILURES + 1],
        )  # fmt: skip
        runs(
            placed.link, fresh[:, 4], placed.source, placed.offer, fresh[:, 3],
            outcome, placed.hour, mute, placed.tainted, s["link runs"], s["offer runs"],
            s["caller kinds"], s["all kinds"], out[_MIX : _SUCCESS + 1],
        )  # fmt: skip

    def _observe_sizes(self, placed: Placed, mute: NDArray[np.bool_], out: Surprise) -> None:
        calls, s = placed.calls, self.state
        _sizes(
            placed.link, placed.offer, placed.source, placed.fresh, mute, placed.hour, calls.sent,
            calls.received, s["link calls"], s["link sizes"], s["offer sizes"], s["caller sizes"],
            s["all sizes"], out,
        )  # fmt: skip


@compiled
def _sizes(
    link: Array, offer: Array, source: Array, fresh: Array, mute: Array, hour: Array, sent: Array,
    received: Array, tallies: Any, links: Any, offers: Any, callers: Any, pools: Any, out: Array,
) -> None:  # fmt: skip
    for i in range(link.size):
        known = sent[i] >= 0.0 or received[i] >= 0.0
        calls = tally(tallies[link[i]], hour[i], fresh[i, 4], known)
        for k in range(2):
            record, near, far = links[k, link[i]], offers[k, offer[i]], callers[k, source[i]]
            if fresh[i, 4]:
                record.weight, record.mean, record.square = 0, 0.0, 0.0
            if fresh[i, 3]:
                near.weight = near.mean = 0.0
            if fresh[i, AS_SOURCE]:
                far.weight = far.mean = 0.0
            octets = sent[i] if k == 0 else received[i]
            if octets >= 0.0:
                out[k, i] = size(record, mute[i], octets, calls, pools[k], near, far)


@compiled
def _structures(
    edge: Array, fresh: Array, service: Array, shape: Array, mute: Array, records: Array, out: Array
) -> None:
    """Remember structures in a Bloom filter of 64 bits and two hashes per edge."""
    for i in range(edge.size):
        record = records[edge[i]]
        if fresh[i]:
            record.seen, record.kinds, record.bits = 0, 0, 0
        if shape[i] == 0:
            continue
        key = pair(service[i], shape[i])
        mask = (np.uint64(1) << (key & np.uint64(63))) | (
            np.uint64(1) << ((key >> np.uint64(6)) & np.uint64(63))
        )
        if (record.bits & mask) != mask:
            out[i] = max(math.log((record.seen + 2.0) / (record.kinds + 1.0)), 0.0)
            if not mute[i]:
                record.bits |= mask
                record.kinds += 1
        if not mute[i]:
            record.seen = min(record.seen + 1, 65_535)
