"""What is kept of one subject: a few faded counts of hashed values, and no raw data.

At most `SLOTS` values of each kind, the least seen one giving way (space-saving, Metwally et al.
2005); counts fade with a half-life; the same session on the same device counts once in half an
hour, so that whoever sits in a stolen session cannot teach it quickly. A history is some 2 KB, ends
by itself, and is erased as a whole.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshwarden.tokens.risk.model import Observation

SLOTS: Final = 16
HALF_LIFE_S: Final = 30 * 86400.0
RELEARN_S: Final = 1800
RATE_S: Final = 600.0
_PAYEES: Final = 32
_SEEN: Final = 8


@dataclass(slots=True)
class History:
    """One subject's past.

    Attributes:
        counts: by kind of value, how often each was seen, faded.
        total: how many requests count, faded.
        updated: seconds since the epoch.
        place: where the subject was last, rounded to a degree, and when.
        amounts: number, mean and sum of squared deviations of log amounts, faded.
        payees: who was paid, how often.
        new_payees: how many payments went to somebody new.
        payments: how many payments there were.
        rate: requests within about ten minutes, faded.
        usual_rate: what `rate` mostly reaches.
        seen: session and device that were counted lately, and when.
    """

    counts: dict[str, dict[int, float]] = field(default_factory=dict)
    total: float = 0.0
    updated: int = 0
    place: tuple[float, float, int] | None = None
    amounts: tuple[float, float, float] = (0.0, 0.0, 0.0)
    payees: dict[int, float] = field(default_factory=dict)
    new_payees: float = 0.0
    payments: float = 0.0
    rate: float = 0.0
    usual_rate: float = 1.0
    seen: dict[int, int] = field(default_factory=dict)

    def faded(self, now: int) -> float:
        """Return what is left of counts that were made before `updated`."""
        return math.exp2(-max(0, now - self.updated) / HALF_LIFE_S)

    def rate_at(self, now: int) -> float:
        """Return the requests within about the last ten minutes."""
        return self.rate * math.exp(-max(0, now - self.updated) / RATE_S)


def learn(
    history: History, seen: Observation, names: Mapping[str, int], payee: int | None, key: int
) -> bool:
    """Take an allowed request into `history`; return whether it counted as a new one.

    Args:
        history: is changed.
        seen: the request.
        names: its values by kind, named.
        payee: who is paid, named.
        key: names session and device together.
    """
    fade = history.faded(seen.time)
    history.rate = history.rate_at(seen.time) + 1.0
    history.usual_rate += (history.rate - history.usual_rate) * 0.01
    history.updated = max(history.updated, seen.time)
    _learn_payment(history, seen.amount, payee)
    if seen.place is not None:
        history.place = (round(seen.place[0]), round(seen.place[1]), seen.time)
    if seen.time - history.seen.get(key, -RELEARN_S) < RELEARN_S:
        return False
    history.seen[key] = seen.time
    while len(history.seen) > _SEEN:
        del history.seen[min(history.seen, key=history.seen.__getitem__)]
    history.total = history.total * fade + 1.0
    for counts in history.counts.values():
        for name in counts:
            counts[name] *= fade
    for kind, name in names.items():
        _count(history.counts.setdefault(kind, {}), name, SLOTS)
    return True


def render_history(history: History) -> bytes:
    """Return the history as bytes."""
    return json.dumps(
        {
            "counts": {
                kind: {str(name): round(count, 4) for name, count in counts.items()}
                for kind, counts in history.counts.items()
            },
            "total": round(history.total, 4),
            "updated": history.updated,
            "place": history.place,
            "amounts": history.amounts,
            "payees": {str(name): round(count, 4) for name, count in history.payees.items()},
            "new_payees": history.new_payees,
            "payments": history.payments,
            "rate": history.rate,
            "usual_rate": history.usual_rate,
            "seen": {str(name): moment for name, moment in history.seen.items()},
        },
        separators=(",", ":"),
    ).encode()


def parse_history(raw: bytes) -> History:
    """Return the history that `render_history` wrote; ValueError where it is something else."""
    try:
        found: dict[str, Any] = json.loads(raw)
        return History(
            counts={kind: _names(counts) for kind, counts in found.pop("counts").items()},
            payees=_names(found.pop("payees")),
            seen={int(name): int(moment) for name, moment in found.pop("seen").items()},
            place=_triple(found.pop("place")),
            amounts=_triple(found.pop("amounts")) or (0.0, 0.0, 0.0),
            **found,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a history") from error


def _learn_payment(history: History, amount: float | None, payee: int | None) -> None:
    if amount is not None:
        number, mean, squares = (history.amounts[0] * 0.98, *history.amounts[1:])
        value, squares = math.log(amount), squares * 0.98
        number += 1.0
        delta = value - mean
        mean += delta / number
        history.amounts = (number, mean, squares + delta * (value - mean))
    if payee is not None:
        history.payments += 1.0
        history.new_payees += payee not in history.payees
        _count(history.payees, payee, _PAYEES)


def _count(counts: dict[int, float], name: int, slots: int) -> None:
    if name not in counts and len(counts) >= slots:
        del counts[min(counts, key=counts.__getitem__)]
    counts[name] = counts.get(name, 0.0) + 1.0


def _names(found: Mapping[str, float]) -> dict[int, float]:
    return {int(name): float(count) for name, count in found.items()}


def _triple(found: Any) -> Any:  # noqa: ANN401  # of a JSON list
    return None if found is None else tuple(found)
