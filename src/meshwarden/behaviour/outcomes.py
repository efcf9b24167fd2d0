"""Outcomes: what calls come to, and how odd a run of one kind is.

A call is answered, refused, in error by its caller or by who was called, or without an answer. An
hour's calls are judged against a past that is remembered hour by hour: so many of one kind among so
many are a Beta-binomial run with few effective observations, for failures come in bursts. A past is
learned when its hour is over: a run is not its own excuse.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled

OUTCOMES: Final = ("answered", "refused", "caller's error", "server's error", "no answer")
UNKNOWN, ANSWERED, REFUSED, FAULTY, BROKEN, UNANSWERED = range(-1, 5)
KINDS: Final = len(OUTCOMES)
TEACHER: Final = np.dtype([("hour", "i4"), ("calls", "f4")])
"""Of a caller: how many calls it taught everyone in the last hour in which it did."""
_SPREAD: Final = 2.0  # effective observations of what a past is shrunk to
_FULL: Final = 65_535
_FADE: Final = 0.98  # each time that an hour is learned, of what is remembered beyond ...
_MOST_PAST: Final = 200.0  # ... so many calls
_MOST_LEARNED: Final = 20.0  # calls in an hour, of a key; of everyone's, by one caller
_FADE_OF_ALL: Final = 0.9995  # a call
_LEAST_SAID: Final = 3.0  # nats; one run in twenty is nothing
_USUAL: Final = 0.9  # share of a kind from which on no run of it is as odd as that
_LEAST, _LEAST_SEEN = 0.5, 50.0  # of a kind, and all: no history rules a kind out
_GOOD, _BAD = 19.0, 1.0  # calls assumed of everyone, the bad of any kind; they never fade


def run_of(kinds: int) -> np.dtype[Any]:
    """Return the record of a key's runs of so many kinds: this hour's calls, and the past's."""
    return np.dtype([("hour", "i4"), ("now", "u2", (kinds,)), ("past", "f4", (kinds,))])


def past_of(kinds: int) -> np.dtype[Any]:
    """Return the record of a past that keys share."""
    return np.dtype([("past", "f4", (kinds,))])


def _of_status() -> NDArray[np.int8]:
    """Return the outcome of each HTTP status up to 600; what is beyond is as 600."""
    outcome = np.full(601, ANSWERED, np.int8)
    outcome[0] = UNANSWERED  # how proxies write down that nobody waited, or nobody answered
    outcome[400:500], outcome[500:] = FAULTY, BROKEN
    outcome[[401, 403, 407, 429, 511]] = REFUSED
    return outcome


def _of_code() -> NDArray[np.int8]:
    """Return the outcome of each gRPC code up to 17; what is beyond is as 17, which is none."""
    outcome = np.full(18, BROKEN, np.int8)
    outcome[0] = ANSWERED
    outcome[[3, 5, 6, 9, 11]] = FAULTY  # invalid argument, not found, exists, precondition, range
    outcome[[7, 8, 16]] = REFUSED  # permission denied, resource exhausted, unauthenticated
    outcome[[1, 4]] = UNANSWERED  # cancelled, deadline exceeded
    return outcome


OF_STATUS: Final = _of_status()
OF_CODE: Final = _of_code()


@compiled
def _log_chance(bad: float, n: float, alpha: float, beta: float) -> float:
    """Return ln of the Beta-binomial chance of exactly so many of a kind among `n`."""
    good = n - bad
    return (
        math.lgamma(alpha + bad) - math.lgamma(alpha)
        + math.lgamma(beta + good) - math.lgamma(beta)
        - math.lgamma(alpha + beta + n) + math.lgamma(alpha + beta)
        + math.lgamma(n + 1.0) - math.lgamma(bad + 1.0) - math.lgamma(good + 1.0)
    )  # fmt: skip


@compiled
def _run(bad: float, n: float, alpha: float, beta: float) -> float:
    """Return -ln of the Beta-binomial chance of at least so many among `n`.

    Chances are added up from their highest on, in steps that double, each as its likelier end: too
    few by 0.7 nats at most.
    """
    top, total, length = _log_chance(bad, n, alpha, beta), 0.0, 1.0
    falling = alpha <= 1.0  # else the highest may be that of all
    first, last = bad, n
    while first <= last:
        near = first if falling else last
        far = min(first + length - 1.0, last) if falling else max(last - length + 1.0, first)
        most = max(_log_chance(near, n, alpha, beta), _log_chance(far, n, alpha, beta))
        total += (abs(far - near) + 1.0) * math.exp(most - top)
        if falling:
            first = far + 1.0
        else:
            last = far - 1.0
        length *= 2.0
    return max(-top - math.log(total), 0.0)


@compiled
def _room(teacher: Any, hour: int, learned: float) -> float:
    """Return how much of what it learned an identity may still teach everyone in this hour."""
    if teacher.hour != hour:
        teacher.hour, teacher.calls = hour, 0.0
    room = min(learned, _MOST_LEARNED - teacher.calls)
    teacher.calls += room
    return float(room)


@compiled
def _learn(run: Any, shared: Any, of_all: Any, teacher: Any, hour: int) -> None:
    """Learn the hour that is over: for the key, for whom it shares with, and for everyone."""
    n = float(run.now.sum())
    if n == 0.0:
        return
    part = min(_MOST_LEARNED / n, 1.0)
    to_all = _room(teacher, hour, n * part) / n
    stay = _FADE_OF_ALL ** (n * to_all)
    own = 1.0 if run.past.sum() < _MOST_PAST else _FADE
    others = 1.0 if shared.past.sum() < _MOST_PAST else _FADE
    for kind in range(of_all.size):
        run.past[kind] = run.past[kind] * own + run.now[kind] * part
        shared.past[kind] = shared.past[kind] * others + run.now[kind] * part
        of_all[kind] = of_all[kind] * stay + run.now[kind] * to_all


@compiled
def _add(run: Any, kind: int) -> None:
    if run.now[kind] == _FULL:
        for each in range(run.now.size):
            run.now[each] //= 2
    run.now[kind] += 1


@compiled
def _judge(run: Any, shared: Any, of_all: Any, out: Any, i: int) -> None:
    """Write the surprise of the kind of failure of which there are most too many, and of success.

    The latter only where there is room for it.
    """
    n, past, others, all_calls = 0.0, 0.0, 0.0, _GOOD + _BAD
    kinds, most = of_all.size, 0.0
    for kind in range(kinds):
        n += run.now[kind]
        past += run.past[kind]
        others += shared.past[kind]
        all_calls += of_all[kind]
    for kind in range(2 - out.shape[0], kinds):
        bad = float(run.now[kind])
        if bad <= 1.0:
            continue
        assumed = _GOOD if kind == 0 else _BAD / (kinds - 1)
        usual = (assumed + of_all[kind]) / all_calls
        usual = (_SPREAD * usual + shared.past[kind]) / (_SPREAD + others)
        rate = (_SPREAD * usual + run.past[kind]) / (_SPREAD + past)
        rate = max(rate, _LEAST / (_LEAST_SEEN + past))
        if rate > _USUAL or bad <= n * rate + 1.0:
            continue
        surprise = _run(bad, n, _SPREAD * rate, _SPREAD * (1.0 - rate))
        if kind > 0:
            most = max(most, surprise)
        elif surprise > _LEAST_SAID:
            out[1, i] = surprise
    most -= math.log(kinds - 1)  # any kind of failure might have been the one
    if most > _LEAST_SAID:
        out[0, i] = most


@compiled
def runs(
    number: Any, fresh: Any, source: Any, with_whom: Any, with_fresh: Any, outcome: Any, hour: Any,
    mute: Any, tainted: Any, records: Any, shares: Any, teachers: Any, of_all: Any, out: Any,
) -> None:  # fmt: skip
    """Add each call to its key's run, judge it, and learn the runs of hours that are over.

    Args:
        number: of the key: an edge, or the use that one makes of a service.
        fresh: whether it was given out by this call.
        source: number of the caller.
        with_whom: number of whose past a young key's is shrunk to.
        with_fresh: as `fresh`.
        outcome: see `OUTCOMES`; where the records have two kinds only, all that failed are one.
        hour: since the epoch.
        mute: where nothing is learned.
        tainted: see `Placed`: hours up to this one are not learned.
        records: of `run_of`, by key.
        shares: of `past_of`.
        teachers: of TEACHER, by number of caller.
        of_all: float64[kinds], everyone's past.
        out: float32[1 or 2, n], nats, zeros so far: of kinds of failure; of success.
    """
    for i in range(number.size):
        run, shared = records[number[i]], shares[with_whom[i]]
        if with_fresh[i]:
            shared.past[:] = 0.0
        if fresh[i]:
            run.hour, run.now[:], run.past[:] = hour[i], 0, 0.0
        if run.hour != hour[i]:
            if not mute[i] and run.hour > tainted[i]:
                _learn(run, shared, of_all, teachers[source[i]], hour[i])
            run.hour, run.now[:] = hour[i], 0
        if outcome[i] >= 0:
            _add(run, min(outcome[i], of_all.size - 1))
        _judge(run, shared, of_all, out, i)
