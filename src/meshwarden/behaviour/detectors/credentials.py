"""Credentials: a session or a transaction that appears where it is not bound to be.

A session belongs to the first identity that used it towards a destination, and there to the
instance of the caller (pod, address, device) that used it last. From another caller, who was the
first nowhere, or to and fro between instances, it is one token in two places. A transaction is
carried by those whom it reached (`chains`), and by each of them on one instance. How often that
happens innocently is counted for each caller by itself: behind a balancer instances change, on
customers' devices they do not; a service deep inside takes up sessions that others began, a
customer does not. Surprise is the Laplace estimate of that share, for others' sessions shrunk to
everyone's. What is held is kept in tables of 2**18 places: where two fall on one place the later
wins, so a move may go unseen, and none is invented.
"""

import math
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.chains import BITS, CHAIN, RELEARN, follow, mark, place_of
from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.counts import Array
from meshwarden.behaviour.detectors.contract import Detector, Surprise
from meshwarden.behaviour.ground import AS_SOURCE, Placed
from meshwarden.behaviour.settings import Settings
from meshwarden.behaviour.tables import pair

BOUND: Final = np.dtype([("key", "u8"), ("holder", "u8"), ("instance", "u8")])
CARRIED: Final = np.dtype([("key", "u8"), ("callers", "u8")])  # who was the first somewhere: bits
MOVES: Final = np.dtype(
    [
        ("moves", "f4"),  # to another instance, of so many uses
        ("uses", "f4"),
        ("foreign", "f4"),  # of what another holds, of so many
        ("held", "f4"),
    ]
)
_MOVES, _USES = 0.5, 50.0  # assumed of a caller before any
_USUAL: Final = 0.05  # share of a caller's uses


class Credentials(Detector):
    """Sessions and transactions, and who holds them."""

    name: ClassVar[str] = "credentials"
    channels: ClassVar[tuple[str, ...]] = (
        "session elsewhere", "session on another instance",
        "transaction elsewhere", "transaction on another instance",
    )  # fmt: skip
    families: ClassVar[tuple[str, ...]] = ("credentials",) * 4
    subjects: ClassVar[tuple[int, ...]] = (1, 1, 1, 1)
    tables: ClassVar[dict[str, str]] = {"callers": "nodes", "carriers": "nodes"}

    def __init__(self, settings: Settings) -> None:
        nodes = 1 << settings.node_bits
        self.state = {
            "bound": np.zeros(1 << BITS, BOUND),
            "sessions": np.zeros(1 << BITS, CARRIED),
            "moves": np.zeros(2),
            "callers": np.zeros(nodes, MOVES),
            "chains": np.zeros(1 << BITS, CHAIN),
            "strays": np.zeros(2),
            "carried": np.zeros(1 << BITS, BOUND),
            "carriers": np.zeros(nodes, MOVES),
            "nowhere": np.zeros(2),
        }

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = np.zeros((4, len(placed)), np.float32)
        calls, s, fresh = placed.calls, self.state, placed.fresh[:, AS_SOURCE]
        mute = muted[placed.source]
        if fresh.any() or calls.session.any():
            _hold(
                calls.session, calls.source, calls.destination, calls.instance, placed.source,
                fresh, mute, s["bound"], s["sessions"], s["moves"], s["callers"], out[:2],
            )  # fmt: skip
        if fresh.any() or calls.transaction.any():
            follow(
                calls.transaction, calls.time, calls.source, calls.destination, mute, s["chains"],
                s["strays"], out[2],
            )  # fmt: skip
            _hold(  # a caller holds what it carries for itself: here only its instance can change
                calls.transaction, calls.source, calls.source, calls.instance, placed.source,
                fresh, mute, s["carried"], s["sessions"][:0], s["nowhere"], s["carriers"], out[2:],
            )  # fmt: skip
        return out


@compiled
def _carry(sessions: Array, session: Any, caller: Any) -> None:
    """Note that the caller was the first to use the session towards somebody."""
    if sessions.size == 0:  # a transaction: see `chains`
        return
    carried = sessions[place_of(session)]
    if carried.key != session:
        carried.key, carried.callers = session, np.uint64(0)
    carried.callers |= mark(caller)


@compiled
def _carries(sessions: Array, session: Any, caller: Any) -> Any:
    carried, bits = sessions[place_of(session)], mark(caller)
    return carried.key == session and carried.callers & bits == bits


@compiled
def _surprise(share: float) -> float:
    """Return nats; what is usual is no surprise, and so what it comes to is no past to go by."""
    return -math.log(share) if share < _USUAL else 0.0


@compiled
def _hold(
    held: Array, source: Array, towards: Array, instance: Array, caller: Array,
    fresh: Array, mute: Array, bound: Array, sessions: Array, moves: Array, callers: Array,
    out: Array,
) -> None:  # fmt: skip
    for i in range(held.size):
        own = callers[caller[i]]
        if fresh[i]:
            own.moves, own.uses, own.foreign, own.held = 0.0, 0.0, 0.0, 0.0
        if held[i] == 0:
            continue
        key = pair(held[i], towards[i])
        place = bound[place_of(key)]
        if place.key != key:
            place.key, place.holder, place.instance = key, source[i], instance[i]
            _carry(sessions, held[i], source[i])
            continue
        moved = place.holder != source[i]
        foreign = moved and not _carries(sessions, held[i], source[i])
        if foreign:
            usual = _USES * (_MOVES + moves[0]) / (_USES + moves[1])
            out[0, i] = _surprise((usual + own.foreign) / (_USES + own.held))
        if not mute[i]:
            own.foreign = own.foreign * RELEARN + (1.0 if foreign else 0.0)
            own.held = own.held * RELEARN + 1.0
            moves[0] = moves[0] * RELEARN + (0.2 if foreign else 0.0)
            moves[1] = moves[1] * RELEARN + 1.0
        if moved or instance[i] == 0 or place.instance == 0:
            continue
        elsewhere = place.instance != instance[i]
        place.instance = instance[i]
        if elsewhere:
            out[1, i] = _surprise((_MOVES + own.moves) / (_USES + own.uses))
        if not mute[i]:
            own.moves = own.moves * RELEARN + (1.0 if elsewhere else 0.0)
            own.uses = own.uses * RELEARN + 1.0
