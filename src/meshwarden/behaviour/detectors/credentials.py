"""Credentials: a session that appears where it is not bound to be.

A session belongs to the first identity that used it towards a destination. The same session from
another caller is one token in two places. How often that happens innocently is counted; surprise is
the Laplace estimate of that share. Sessions are kept in a table of 2**18 places; where two fall on
one place the later wins, so a move may go unseen, and none is invented. Transactions are not looked
at yet: they rightly pass through several callers.
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

BOUND: Final = np.dtype([("key", "u8"), ("holder", "u8")])
_BITS: Final = 18
_RELEARN: Final = 0.9999


class Credentials(Detector):
    """Sessions and who holds them."""

    name: ClassVar[str] = "credentials"
    channels: ClassVar[tuple[str, ...]] = ("session elsewhere",)
    families: ClassVar[tuple[str, ...]] = ("credentials",)
    subjects: ClassVar[tuple[int, ...]] = (1,)
    tables: ClassVar[dict[str, str]] = {}

    def __init__(self, settings: Settings) -> None:
        del settings  # the size does not depend on the number of services
        self.state = {"bound": np.zeros(1 << _BITS, BOUND), "moves": np.array([0.5, 50.0])}

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = np.zeros((1, len(placed)), np.float32)
        calls = placed.calls
        if calls.session.any():
            _hold(
                calls.session, calls.source, calls.destination, muted[placed.source],
                self.state["bound"], self.state["moves"], out[0],
            )  # fmt: skip
        return out


@compiled
def _hold(
    session: Array, source: Array, destination: Array, mute: Array, bound: Array, moves: Array,
    out: Array,
) -> None:  # fmt: skip
    for i in range(session.size):
        if session[i] == 0:
            continue
        key = pair(session[i], destination[i])
        place = bound[np.int64(key >> np.uint64(64 - _BITS))]
        if place.key != key:
            place.key, place.holder = key, source[i]
            continue
        moved = place.holder != source[i]
        if moved:
            out[i] = -math.log(moves[0] / moves[1])
        if not mute[i]:
            moves[0] = moves[0] * _RELEARN + (0.2 if moved else 0.0)
            moves[1] = moves[1] * _RELEARN + 1.0
