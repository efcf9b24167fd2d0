"""Which workload presented a token without ever having received it.

A token is received by whoever asked for it, and by whoever was called under it by somebody who had
received it. A call under a transaction by anybody else is a finding: the token was taken from a
service's memory or from the wire. Presenting a token for replacement counts as a call too.

Records arrive in any order, and a call that handed a token on may last longer than one that used
it: a transaction is judged as a whole once its tokens have ended (`strays`). Where no policy lets
anybody hand a token of it to the caller, there is nothing to wait for (`strays_beside`).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """One call under a transaction: who called whom, by the certificates that they proved.

    Where it was `refused` by the callee's sidecar, the callee received nothing.
    """

    transaction: str
    source: str
    destination: str
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A call by a workload that never received a token of the transaction."""

    transaction: str
    source: str
    destinations: tuple[str, ...]


def receivers(holders: Iterable[str], calls: Iterable[Presented]) -> frozenset[str]:
    """Return the workloads that received a token of one transaction.

    Args:
        holders: SPIFFE IDs of those that asked for one.
        calls: the calls under it, in any order.
    """
    reached: dict[str, set[str]] = {}
    for call in calls:
        if not call.refused:
            reached.setdefault(call.source, set()).add(call.destination)
    received: set[str] = set()
    news = set(holders)
    while news:
        received |= news
        news = set().union(*(reached.get(one, set()) for one in news)) - received
    return frozenset(received)


def strays(holders: Iterable[str], calls: Iterable[Presented]) -> list[Stray]:
    """Return the calls of one transaction by workloads that never received its token."""
    calls = list(calls)
    return strays_beside(receivers(holders, calls), calls)


def strays_beside(received: Collection[str], calls: Iterable[Presented]) -> list[Stray]:
    """Return the calls of one transaction by workloads that are not among `received`."""
    found: dict[tuple[str, str], set[str]] = {}
    for call in calls:
        if call.source not in received:
            found.setdefault((call.source, call.transaction), set()).add(call.destination)
    return [
        Stray(transaction=transaction, source=source, destinations=tuple(sorted(reached)))
        for (source, transaction), reached in sorted(found.items())
    ]
