"""Volume: more octets out than the edge sends, in an hour, or a little more for days.

Two views of the octets that a source sends to a destination (and, for pulls, receives from it);
what a single call has is a matter of its `shape`:

- an hour: log of the hour's sum against the edge's hours. An edge without history is judged by
  others', so that a bulk transfer to a destination never seen before stands out at once;
- cumulative sums (CUSUM: Page, Biometrika 1954) of what hours say for a mean that is higher, in
  nats by Wald's identity: a slow leak that never stands out in any hour adds up over days. One is
  of the octets sent in closed hours, for a mean one deviation higher (what the running hour has is
  the first view's). One is of their balance, octets sent against received (the producer-consumer
  ratio: Bullard and Gerth, FloCon 2014), for two, with the running hour in it at each call. A
  balance does not follow the hours of the day nor how much there is to do, so it tells far smaller
  leaks. It scatters by chance as a mean of so many calls does, and a little
  besides.

Once there was an alarm, the first hour that adds nothing ends the sums: what is over is not told
again. They are bounded for the same reason. Hours of a young release do not add up.

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

_MOST, _MOST_AT_ONCE, _LEAST = 15.0, 3.0, 1.0  # nats of a sum, and of an hour; less is nothing
_VIEWS: Final = ("sent", "received")  # in an hour
_SENT: Final = 0  # the view that is summed up
_SLOW: Final = 2  # its channel
_BALANCE: Final = 3
_SHIFTS: Final = (1.0, 2.0)  # deviations that sent octets, and balances, are higher by in a leak
_SETTLED: Final = 12.0  # hours of an edge from which on they add up
_TOLD: Final = 24  # hours that an alarm stands
SUMS: Final = np.dtype(
    [
        ("sent", "f4"),  # nats
        ("balance", "f4"),
        ("of_calls", "f4"),  # squared deviations of balances, as if each hour had one call
    ]
)
SPREAD: Final = np.dtype(  # of the balances of all edges: how many, and their squared deviations
    [("hours", "f8"), ("squares", "f8"), ("of_calls", "f8")]
)
_AT_FIRST: Final = (4.0, 1.0, 4.0)
_PRIOR: Final = 4.0  # hours that others' spread is worth
_POOLED: Final = 20_000.0  # hours that it is learned from
_MEMORY: Final = 400.0  # calls that an edge's usual octets are a mean of; hours of a balance


class Volume(Detector):
    """Octets per hour and over days."""

    name: ClassVar[str] = "volume"
    channels: ClassVar[tuple[str, ...]] = (
        "octets sent in an hour", "octets received in an hour", "octets sent for days",
        "octets sent against received",
    )  # fmt: skip
    families: ClassVar[tuple[str, ...]] = ("volume",) * 4
    subjects: ClassVar[tuple[int, ...]] = (0, 0, 0, 0)
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
            "sums": np.zeros(edges, SUMS),
            "spread": np.array([_AT_FIRST], SPREAD),
            "pool": pools(len(_VIEWS)),
            "stated": np.zeros(1, np.bool_),  # by any call so far
            **{f"season {k}": np.zeros(nodes, SEASON) for k in range(2)},
            **{f"usual {k}": np.zeros(1, SEASON) for k in range(2)},
            **{f"{side} {k}": np.zeros(nodes, LEVEL) for side in ("up", "down") for k in range(2)},
        }
        self.state["pool"]["mean"] = 6.0

    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """See `Detector.observe`."""
        out = silent(4, len(placed))
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
            placed.edge, placed.source, placed.destination, fresh, mute, placed.tainted,
            placed.hour, placed.ripeness, octets, s["call"], tuple(s[name] for name in _VIEWS),
            s["pool"], *(
                tuple(s[f"{part} {k}"] for k in range(2))
                for part in ("up", "down", "season", "usual")
            ), s["sums"], s["spread"][0], out,
        )  # fmt: skip
        return out


@compiled
def _sum(
    edge: Array, source: Array, destination: Array, fresh: Array, mute: Array, tainted: Array,
    hour: Array, ripeness: Array, octets: Array, calls: Array, records: Any, pool: Array, ups: Any,
    downs: Any, seasons: Any, everyone: Any, sums: Any, spread: Any, out: Array,
) -> None:  # fmt: skip
    for i in range(edge.size):
        call, sent, total = calls[edge[i]], records[_SENT][edge[i]], sums[edge[i]]
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
                    total.sent = total.balance = total.of_calls = 0.0
            if octets[k, i] < 0.0:
                if record.window == hour[i]:
                    out[k, i] = record.surprise
                continue
            if k == _SENT and record.window != hour[i] and record.weight > 0.0:
                _cumulate(
                    record, records[1][edge[i]], call.mean, total, spread, ripeness[i] < 1.0,
                    mute[i], record.window - tainted[i] < _TOLD,
                )  # fmt: skip
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
        if total.sent > _LEAST:
            out[_SLOW, i] = total.sent
        so_far = total.balance
        if sent.window == hour[i] and sent.weight >= _SETTLED and ripeness[i] >= 1.0:
            told = hour[i] - tainted[i] < _TOLD
            so_far = _with_balance(sent, records[1][edge[i]], call.mean, total, spread, told)
        if so_far > _LEAST:
            out[_BALANCE, i] = so_far


@compiled
def _cumulate(
    sent: Any,
    received: Any,
    usual: float,
    total: Any,
    spread: Any,
    young: bool,
    mute: bool,
    told: bool,
) -> None:
    """Add the hour that is over to an edge's sums, and learn how its balance scatters.

    Args:
        sent: WINDOW of the edge, about to be learned.
        received: the other one.
        usual: ln of the octets of one call.
        total: SUMS of the edge.
        spread: SPREAD of all edges.
        young: whether a young release brought it: nothing adds up.
        mute: whether nothing is learned.
        told: whether there was an alarm: the first hour that adds nothing ends the sums.
    """
    if sent.count <= 0.0:
        return
    if sent.weight >= _SETTLED and not young:
        more = (math.log(sent.count) - sent.center) / sent.deviation
        total.sent = _plus(total.sent, more, _SHIFTS[0], told)
        total.balance = _with_balance(sent, received, usual, total, spread, told)
    if not mute and received.window == sent.window and received.count > 0.0:
        balance, square, _, chance = _balance(sent, received, usual, total, spread)
        _learn_balance(total, spread, min(balance * balance, 9.0 * square), chance)
        if received.weight >= _MEMORY:
            total.of_calls *= 1.0 - 1.0 / _MEMORY


@compiled
def _with_balance(
    sent: Any, received: Any, usual: float, total: Any, spread: Any, told: bool
) -> float:
    """Return an edge's sum of balances with what an hour says, over or not; see `_cumulate`.

    The mean that a leak is taken to have is set by what the hour usually has, not by the fewer
    calls that it had so far: so what they say adds up as hours do, however often it is looked at.
    """
    if received.window != sent.window or received.count <= 0.0:
        return float(total.balance)
    balance, square, ordinary, _ = _balance(sent, received, usual, total, spread)
    shift = _SHIFTS[1] * math.sqrt(min(ordinary / square, 1.0))
    return _plus(total.balance, balance / math.sqrt(square), shift, told)


@compiled
def _balance(
    sent: Any, received: Any, usual: float, total: Any, spread: Any
) -> tuple[float, float, float, float]:
    """Return an hour's balance beyond what is predicted, and its variance.

    Then that of an ordinary hour, and what one call's counts for in this one.
    """
    more = math.log(sent.count) - sent.center
    as_much = math.log(received.count) - received.center
    ordinary = sent.center - usual  # ln of about how many calls it usually has
    few = math.exp(-max(ordinary, 0.0))
    chance = math.exp(-max(ordinary + (more + as_much) / 2.0, 0.0))
    of_all, besides = spread.of_calls / spread.hours, spread.squares / spread.hours
    of_calls = (_PRIOR * of_all + total.of_calls) / (_PRIOR + received.weight)
    return more - as_much, of_calls * chance + besides, of_calls * few + besides, chance


@compiled
def _learn_balance(total: Any, spread: Any, square: float, chance: float) -> None:
    """Learn a winsorized square: of the edge, and of all, where no one of them decides."""
    total.of_calls += square / chance
    spread.of_calls += min(square / chance, 9.0 * spread.of_calls / spread.hours)
    spread.squares += square
    spread.hours += 1.0
    if spread.hours > _POOLED:
        keep = _POOLED / spread.hours
        spread.hours *= keep
        spread.squares *= keep
        spread.of_calls *= keep


@compiled
def _plus(total: float, deviations: float, shift: float, told: bool) -> float:
    """Return a sum with what an hour says for a mean that is `shift` deviations higher."""
    step = shift * (deviations - shift / 2.0)
    if told and step < 0.0:
        return 0.0
    return min(max(total + min(step, _MOST_AT_ONCE), 0.0), _MOST)
