"""Peers: who calls mostly what a caller calls, and whether they do what it does for the first time.

Peers of a caller are those that call at least half of its callees, of a sample of eight, looked for
among a sample of eight callers of each (`samples`). Who alarms is nobody's peer, and whom it meets
is not sampled. It is the level between a caller and all callers, as in peer-group analysis (Bolton
and Hand 2001; for networks Turcotte et al., Poisson factorization for peer-based anomaly detection,
ISI 2016). There groups are learned in advance; here peers are looked up at a first contact, or a
first use of a service, and at no other call.
"""

import math
from typing import Any, Final

import numpy as np

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.samples import PLACES, callers_of, calls
from meshwarden.behaviour.tables import find, pair

_LOOKS: Final = 64  # look-ups after which no more callers are looked at: some five microseconds
_HALF: Final = 0.5  # a peer that did it, and one that was expected to, before any: see `unlike`


@compiled
def _is_peer(
    nodes: Any, edges: Any, edge_index: Any, other: Any, callees: Any
) -> tuple[bool, int]:  # fmt: skip
    """Return whether it calls at least half of them, and how many look-ups it took to say so."""
    yes, no = 0, 0
    for x in callees:
        if calls(nodes, edges, edge_index, other, x):
            yes += 1
        else:
            no += 1
        if 2 * yes >= callees.size or 2 * no > callees.size:
            break
    return bool(2 * yes >= callees.size), yes + no


@compiled
def _is_among(number: Any, numbers: Any) -> bool:
    found = False
    for each in numbers:
        found |= each == number
    return bool(found)


@compiled
def _callees_of(
    nodes: Any, edges: Any, edge_index: Any, known: Any, a: int, b: int
) -> Any:  # fmt: skip
    """Return the numbers of those in the sample that `a` calls, without `b`."""
    callees, met = np.empty(PLACES, np.int64), 0
    for place in known[a].callees:
        if place == 0:
            break
        if place - 1 != b and calls(nodes, edges, edge_index, a, place - 1):
            callees[met] = place - 1
            met += 1
    return callees[:met]


@compiled
def _peers(
    nodes: Any, edges: Any, edge_index: Any, known: Any, muted: Any, a: int, b: int
) -> Any:  # fmt: skip
    """Return the numbers of the peers of `a`; that it calls `b` does not count.

    One caller of each callee is looked at, then another of each: callees that everybody calls have
    few peers among their callers, others many.
    """
    callees = _callees_of(nodes, edges, edge_index, known, a, b)
    looked_at = np.empty(callees.size * PLACES, np.int64)
    looked, peers, looks = 0, 0, 0  # peers come first
    for k in range(PLACES):
        for x in callees:
            other = np.int64(known[x].callers[k]) - 1
            if other < 0 or other in (a, b) or muted[other] or _is_among(other, looked_at[:looked]):
                continue
            if looks >= _LOOKS:
                return looked_at[:peers]
            is_peer, its = _is_peer(nodes, edges, edge_index, other, callees)
            looks += its
            looked_at[looked] = other
            looked += 1
            if is_peer:
                looked_at[looked - 1], looked_at[peers] = looked_at[peers], other
                peers += 1
    return looked_at[:peers]


@compiled
def unlike(peers: int, did: int, others: float, among: float) -> float:
    """Return by how many nats something is less likely of a caller than of anybody, by its peers.

    How many peers are expected to do it, by the share of all that do, over how many do; half a one
    is added to both, as Norén, Hopstadius and Bate do (Stat. Methods Med. Res. 22, 2013). Where
    next to none is expected, that none does says next to nothing.

    Args:
        peers: how many there are.
        did: how many of them did it.
        others: how many did it, whoever they are.
        among: out of how many.
    """
    expected = peers * min(others / max(among, 1.0), 1.0)
    return math.log((expected + _HALF) / (did + _HALF))


@compiled
def of_contact(
    nodes: Any, edges: Any, edge_index: Any, known: Any, callers: Any, muted: Any, a: int, b: int
) -> tuple[int, int, float]:  # fmt: skip
    """Return how many peers `a` has, how many of them call `b`, and what that says (`unlike`)."""
    peers, did = _peers(nodes, edges, edge_index, known, muted, a, b), 0
    for other in peers:
        did += calls(nodes, edges, edge_index, other, b)
    nats = unlike(peers.size, did, callers_of(nodes, known, b), float(callers[0]))
    return peers.size, did, nats


@compiled
def of_use(
    nodes: Any, edges: Any, edge_index: Any, links: Any, link_index: Any, known: Any, muted: Any,
    a: int, b: int, service: Any,
) -> tuple[int, int, float]:  # fmt: skip
    """Return the same of the peers that call `b`, for one of its services (a key)."""
    count, did, others, among = 0, 0, 0.0, 0.0
    for other in _peers(nodes, edges, edge_index, known, muted, a, b):
        if calls(nodes, edges, edge_index, other, b):
            count += 1
            did += _uses(nodes, links, link_index, other, b, service)
    for place in known[b].callers:
        if place > 0 and place - 1 != a:
            among += 1.0
            others += _uses(nodes, links, link_index, place - 1, b, service)
    return count, did, unlike(count, did, others, among)


@compiled
def of_call(
    nodes: Any, edges: Any, edge_index: Any, links: Any, link_index: Any, known: Any, callers: Any,
    muted: Any, a: int, b: int, service: Any,
) -> tuple[int, int, float]:  # fmt: skip
    """Return `of_use`, or `of_contact` where the service is 0: for alarms after the first call."""
    if service == 0:
        return of_contact(nodes, edges, edge_index, known, callers, muted, a, b)
    return of_use(nodes, edges, edge_index, links, link_index, known, muted, a, b, service)


@compiled
def _uses(nodes: Any, links: Any, link_index: Any, a: int, b: int, service: Any) -> bool:
    both = pair(nodes[a].key, nodes[b].key)
    return bool(find(links, link_index, pair(both, service)) >= 0)
