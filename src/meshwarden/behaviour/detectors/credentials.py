"""Credentials: a session that appears where it is not bound to be.

A session belongs to the first identity that used it towards a destination, and there to the
instance of the caller (pod, address, device) that used it last. From another caller, or to and fro
between instances, it is one token in two places. How often that happens innocently is counted, of
instances for each caller by itself: behind a balancer it is usual, on customers' devices it is not.
Surprise is the Laplace estimate of that share. Sessions are kept in a table of 2**18 places; where
two fall on one place the later wins, so a move may go unseen, and none is invented. Transactions
are not looked at yet: they rightly pass through several callers.
"""

import math
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import Array
from meshwarden.behaviour.detectors.contract import Detector, Surprise
from meshwarden.behaviour.ground import Placed
from meshwarden.behaviour.settings import Settings
from meshwarden.behaviour.tables import pair

BOUND: Final = np.dtype([("key", "u8"), ("holder", "u8"), ("instance", "u8")])
MOVES: Final = np.dtype([("moves", "f4"), ("uses", "f4")])
_BITS: Final = 18
_RELEARN: Final = 0.9999
_MOVES, _USES = 0.5, 50.0  # assumed of a caller before any


class Credentials(Detector):
    """Sessions and who holds them."""

    name: ClassVar[str] = "credentials"
    channels: ClassVar[tuple[str, ...]] = ("session elsewhere", "session on another instance")
    families: ClassVar[tuple[str, ...]] = ("credentials", "credentials")
    subjects: ClassVar[tuple[int, ...]] = (1, 1)
    tables: ClassVar[dict[str, str]] = {"callers": "nodes"}

    def __init__(self, settings: Settings) -> None:
        self.state = {
            "bound": np.zeros(1 << _BITS, BOUND),
            "moves": np.array([_MOVES, _USES]),
            "callers": np.zeros(1 << settings.node_bits, MOVES),
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = np.zeros((2, len(placed)), np.float32)
        calls, s = placed.calls, self.state
        if placed.fresh[:, 0].any() or calls.session.any():
            _hold(
                calls.session, calls.source, calls.destination, calls.instance, placed.source,
                placed.fresh[:, 0], muted[placed.source], s["bound"], s["moves"], s["callers"],
                out,
            )  # fmt: skip
        return out


@compiled
def _hold(
    session: Array, source: Array, destination: Array, instance: Array, caller: Array,
    fresh: Array, mute: Array, bound: Array, moves: Array, callers: Array, out: Array,
) -> None:  # fmt: skip
    for i in range(session.size):
        own = callers[caller[i]]
        if fresh[i]:
            own.moves, own.uses = 0.0, 0.0
        if session[i] == 0:
            continue
        key = pair(session[i], destination[i])
        place = bound[np.int64(key >> np.uint64(64 - _BITS))]
        if place.key != key:
            place.key, place.holder, place.instance = key, source[i], instance[i]
            continue
        moved = place.holder != source[i]
        if moved:
            out[0, i] = -math.log(moves[0] / moves[1])
        if not mute[i]:
            moves[0] = moves[0] * _RELEARN + (0.2 if moved else 0.0)
            moves[1] = moves[1] * _RELEARN + 1.0
        if moved or instance[i] == 0 or place.instance == 0:
            continue
        elsewhere = place.instance != instance[i]
        place.instance = instance[i]
        if elsewhere:
            out[1, i] = -math.log((_MOVES + own.moves) / (_USES + own.uses))
        if not mute[i]:
            own.moves = own.moves * _RELEARN + (1.0 if elsewhere else 0.0)
            own.uses = own.uses * _RELEARN + 1.0
