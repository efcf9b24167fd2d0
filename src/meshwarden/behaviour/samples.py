"""Samples: of each identity a few of whom it calls, and a few of who calls it.

Those whose edges have the lowest keys: a bottom-k sample (Cohen and Kaplan, PODC 2007). Keys are
hashes, so it is a random one, whatever the order, and however often an edge is forgotten and met
again; two of them join to that of both; and it tells how many there are, with k places within some
1/sqrt(k - 2) of them (Bar-Yossef et al., RANDOM 2002). Whoever can choose its name may choose a
place, but no more than that: samples only say whom to look at, and what anybody calls is asked of
the tables. So a number that was handed on does no harm either.
"""

from typing import Any, Final

import numpy as np

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.tables import find, pair

PLACES: Final = 8
KNOWN: Final = np.dtype([("callees", "i4", (PLACES,)), ("callers", "i4", (PLACES,))])
"""Of an identity: numbers + 1 of those sampled, 0 where there are no more."""
_KEYS: Final = 2.0**64


@compiled
def meet(
    nodes: Any, edges: Any, edge_index: Any, known: Any, callers: Any, a: int, b: int
) -> None:  # fmt: skip
    """Note in the samples, and in the number of callers, that `a` calls `b`; again is nothing."""
    if known[a].callees[0] == 0:
        callers[0] += 1
    _sample(nodes, edges, edge_index, known[a].callees, a, True, b)
    _sample(nodes, edges, edge_index, known[b].callers, b, False, a)


@compiled
def forget(known: Any, callers: Any, number: int) -> None:
    """Clear what was kept under a number that is handed on."""
    if known[number].callees[0] != 0:
        callers[0] -= 1
    known[number].callees[:] = 0
    known[number].callers[:] = 0


@compiled
def _key(nodes: Any, owner: int, outward: bool, other: int) -> Any:
    first, second = (owner, other) if outward else (other, owner)
    return pair(nodes[first].key, nodes[second].key)


@compiled
def _sample(
    nodes: Any, edges: Any, edge_index: Any, places: Any, owner: int, outward: bool, other: int
) -> None:  # fmt: skip
    """Keep `other` where its edge's key is among the lowest, or that of one place is forgotten."""
    for k in range(places.size):
        if places[k] == 0 or places[k] == other + 1:
            places[k] = other + 1
            return
    key = _key(nodes, owner, outward, other)
    at: Any = np.int64(key % np.uint64(places.size))  # one look at each newcomer finds all in time
    if find(edges, edge_index, _key(nodes, owner, outward, places[at] - 1)) >= 0:
        highest, at = key, -1
        for k in range(places.size):
            its = _key(nodes, owner, outward, places[k] - 1)
            if its > highest:
                highest, at = its, k
    if at >= 0:
        places[at] = other + 1


@compiled
def callers_of(nodes: Any, known: Any, b: int) -> float:
    """Return about how many call `b`; exactly where few do and none of their edges is forgotten."""
    places, highest = known[b].callers, np.uint64(0)
    for k in range(places.size):
        if places[k] == 0:
            return float(k)
        highest = max(highest, _key(nodes, b, False, places[k] - 1))
    return max((PLACES - 1.0) * _KEYS / (float(highest) + 1.0), float(PLACES))


@compiled
def calls(nodes: Any, edges: Any, edge_index: Any, a: int, b: int) -> bool:
    """Return whether `a` is known to call `b`."""
    return bool(find(edges, edge_index, pair(nodes[a].key, nodes[b].key)) >= 0)


@compiled
def join(
    nodes: Any, index: Any, edges: Any, edge_index: Any, known: Any, callers: Any,
    their_nodes: Any, their_known: Any, count: int,
) -> None:  # fmt: skip
    """Take the samples of others' first `count` identities, where the edges are known here, too."""
    for number in range(count):
        its = find(nodes, index, their_nodes[number].key)
        for k in range(2 * PLACES):
            outward = k < PLACES
            sample = their_known[number].callees if outward else their_known[number].callers
            if sample[k % PLACES] == 0:
                continue
            other = find(nodes, index, their_nodes[sample[k % PLACES] - 1].key)
            a, b = (its, other) if outward else (other, its)
            if a >= 0 and b >= 0 and calls(nodes, edges, edge_index, a, b):
                meet(nodes, edges, edge_index, known, callers, a, b)
