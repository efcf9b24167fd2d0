"""Transactions: whoever carries one was called under it before, or began it.

A transaction rightly passes through several callers, hop by hop. So what is odd is not another
caller, but a caller that nobody called under it: a token that was taken from somewhere. Calls are
recorded when they end, the inner ones first: a call that began before all that is known of its
transaction is an outer hop and no stray. Nobody joins by a stray call, neither its caller nor whom
it reached.

Whom a transaction reached is kept as a Bloom filter of 64 bits and two hashes: with ten members one
stray in ten goes unseen, and none is invented. Where two transactions fall on one place of the
table the later wins, and begins anew.
"""

import math
from typing import Any, Final

import numpy as np

from meshwarden.behaviour.compiled import compiled

CHAIN: Final = np.dtype([("key", "u8"), ("members", "u8"), ("first", "i8")])
BITS: Final = 18
RELEARN: Final = 0.9999


@compiled
def _mark(party: Any) -> Any:
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
        carrier = _mark(source[i])
        if chain.key != transaction[i]:
            chain.key, chain.members, chain.first = transaction[i], 0, time[i]
        else:
            stray = time[i] > chain.first and (chain.members & carrier) != carrier
            if stray:
                out[i] = -math.log(strays[0] / strays[1])
            if not mute[i]:
                strays[0] = strays[0] * RELEARN + (0.2 if stray else 0.0)
                strays[1] = strays[1] * RELEARN + 1.0
            if stray:
                continue
        chain.first = min(chain.first, time[i])
        chain.members |= carrier | _mark(destination[i])
