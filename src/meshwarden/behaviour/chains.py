"""Transactions: whoever carries one was called under it before, or began it.

A transaction rightly passes through several callers, hop by hop. So what is odd is not another
caller, but a caller that nobody called under it: a token that was taken from somewhere. Calls are
recorded when they end, the inner ones first, and beside them others of the same transaction. So a
call that began before all that is known of its transaction is an outer hop, and a caller that
nobody called yet may be called by one that has not ended. It waits, with whom it reaches; when a
member is seen to have called it, all who wait join. One who carries the transaction again after
`SETTLES` and still waits is a stray. Nobody joins by a stray call.

Whom a transaction reached is kept as a Bloom filter of 64 bits and two hashes: with ten members one
stray in ten goes unseen, and none is invented. Where two transactions fall on one place of the
table the later wins, and begins anew.
"""

import math
from typing import Any, Final

import numpy as np

from meshwarden.behaviour.compiled import compiled

CHAIN: Final = np.dtype(
    [
        ("key", "u8"),
        ("members", "u8"),
        ("waiting", "u8"),  # callers that nobody called yet
        ("reached", "u8"),  # they, and whom they called
        ("first", "i8"),  # earliest beginning of a call
        ("since", "i8"),  # beginning of the latest wait
    ]
)
SETTLES: Final = 60_000_000_000  # ns; hardly an outer call takes longer than an inner one by more
BITS: Final = 18
RELEARN: Final = 0.9999
_STRAYS, _CARRIED = 0.5, 50.0  # assumed before any


@compiled
def mark(party: Any) -> Any:
    """Return the two bits of a party."""
    mixed = party * np.uint64(0x9E3779B97F4A7C15)
    one, other = mixed >> np.uint64(58), (mixed >> np.uint64(52)) & np.uint64(63)
    return (np.uint64(1) << one) | (np.uint64(1) << other)


@compiled
def place_of(key: Any) -> Any:
    """Return where a key is kept in a table of 2**BITS places: by its highest bits."""
    return np.int64(key >> np.uint64(64 - BITS))


@compiled
def follow(
    transaction: Any, time: Any, source: Any, destination: Any, mute: Any, chains: Any,
    strays: Any, out: Any,
) -> None:  # fmt: skip
    """Fill `out` with the surprise of callers that their transaction never reached.

    Args:
        transaction: keys; 0 where a call has none.
        time: of the calls' own beginnings, ns.
        source: key of the caller.
        destination: key of the callee.
        mute: whether the call is learned from by nobody.
        chains: 2**BITS of CHAIN.
        strays: float64[2]: faded counts of strays and of all calls under a known transaction.
        out: nats.
    """
    for i in range(transaction.size):
        if transaction[i] == 0:
            continue
        chain = chains[place_of(transaction[i])]
        carrier, callee = mark(source[i]), mark(destination[i])
        if chain.key != transaction[i]:
            chain.key, chain.members, chain.first = transaction[i], carrier | callee, time[i]
            chain.waiting = chain.reached = 0
            continue
        joined = time[i] < chain.first or (chain.members & carrier) == carrier
        stray = not joined and _waits(chain, carrier, callee, time[i])
        if stray:
            out[i] = -math.log((_STRAYS + strays[0]) / (_CARRIED + strays[1]))
        if not mute[i]:
            strays[0] = strays[0] * RELEARN + (0.2 if stray else 0.0)
            strays[1] = strays[1] * RELEARN + 1.0
        if not joined:
            continue
        chain.first = min(chain.first, time[i])
        chain.members |= carrier | callee
        if chain.waiting & callee == callee:
            chain.members |= chain.reached
            chain.waiting = chain.reached = 0


@compiled
def _waits(chain: Any, carrier: Any, callee: Any, time: Any) -> Any:
    """Have a caller wait that no member called; return whether it has waited too long."""
    if chain.reached & carrier != carrier:
        chain.waiting |= carrier
        chain.reached |= carrier
        chain.since = time
    stray = chain.waiting & carrier == carrier and time - chain.since > SETTLES
    if not stray:
        chain.reached |= callee
    return stray
