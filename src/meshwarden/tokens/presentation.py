"""Which workload presented a token without ever having received it.

A token is received by whoever asked for it, and by whoever was called under it by somebody who had
received it. A call under a transaction by anybody else is a finding: the token was taken from a
service's memory or from the wire. Records arrive in any order, so that a transaction is judged as a
whole, once its tokens have ended. Presenting a token for replacement counts as a call too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from meshwarden.tokens.chain import Link, holders


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


def receivers(links: Iterable[Link], calls: Iterable[Presented]) -> frozenset[str]:
    """Return the workloads that received a token of one transaction.

    Args:
        links: the transaction's chain.
        calls: the calls under it, in any order.
    """
    reached: dict[str, set[str]] = {}
    for call in calls:
        if not call.refused:
            reached.setdefault(call.source, set()).add(call.destination)
    received: set[str] = set()
    news = set(holders(links))
    while news:
        received |= news
        news = set().union(*(reached.get(one, set()) for one in news)) - received
    return frozenset(received)


def strays(links: Iterable[Link], calls: Iterable[Presented]) -> list[Stray]:
    """Return the calls of one transaction by workloads that never received its token."""
    links, calls = list(links), list(calls)
    received = receivers(links, calls)
    found: dict[str, set[str]] = {}
    for call in calls:
        if call.source not in received:
            found.setdefault(call.source, set()).add(call.destination)
    return [
        Stray(transaction=calls[0].transaction, source=source, destinations=tuple(sorted(reached)))
        for source, reached in sorted(found.items())
    ]
