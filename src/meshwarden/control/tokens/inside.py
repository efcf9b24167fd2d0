"""Refusals deep inside that a stronger login would have avoided, told to the edge that waits.

A callee's sidecar tells what it refused as it refuses it; the same policy, asked again with a
stronger `acr`, says whether that was the only reason. The edge holds the failure that comes back to
it for a moment, and answers with the challenge. No service between knows of any of it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.policy import AccessPolicy, HttpRequest, decide
from meshwarden.tokens import OAuthError

MAX_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A login that would do (RFC 9470): any of `acr_values`, at most `max_age_s` ago."""

    acr_values: tuple[str, ...]
    max_age_s: int | None = None


@dataclass(kw_only=True)
class Demands:
    """Transactions in which somebody inside needs a stronger login, and who waits to hear of it.

    Bounded: the oldest give way; their failures stay what they are.
    """

    _found: OrderedDict[str, Demand] = field(default_factory=OrderedDict)
    _waiting: dict[str, list[asyncio.Future[Demand]]] = field(default_factory=dict)

    def hear(self, transaction: str, demand: Demand) -> None:
        """Take note of what `transaction` needs."""
        self._found[transaction] = demand
        self._found.move_to_end(transaction)
        if len(self._found) > MAX_KEPT:
            self._found.popitem(last=False)
        for waiter in self._waiting.pop(transaction, ()):
            if not waiter.done():
                waiter.set_result(demand)

    def hear_refusal(self, transaction: str, error: OAuthError) -> None:
        """Take note of what the token service asked for instead of a replacement."""
        self.hear(transaction, Demand(acr_values=error.acr_values, max_age_s=error.max_age_s))

    async def wait(self, transaction: str, within_s: float) -> Demand | None:
        """Return what `transaction` needs; None where nothing is heard of in time."""
        known = self._found.get(transaction)
        if known is not None or len(self._waiting) >= MAX_KEPT:
            return known
        waiter: asyncio.Future[Demand] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(transaction, []).append(waiter)
        try:
            async with asyncio.timeout(within_s):
                return await waiter
        except TimeoutError:
            return None
        finally:
            self._leave(transaction, waiter)

    def _leave(self, transaction: str, waiter: asyncio.Future[Demand]) -> None:
        others = [one for one in self._waiting.get(transaction, ()) if one is not waiter]
        if others:
            self._waiting[transaction] = others
        else:
            self._waiting.pop(transaction, None)


def demanded_assurance(
    policy: AccessPolicy, asked: HttpRequest, claims: dict[str, Any], levels: Sequence[str]
) -> str | None:
    """Return the weakest of `levels` with which a refused request passes.

    None where it passes as it is (the refusal was another's), or where none of them would help.
    """
    if decide(policy, asked, claims).allowed:
        return None
    for acr in levels:
        if acr != claims.get("acr") and decide(policy, asked, claims | {"acr": acr}).allowed:
            return acr
    return None


def asked_of(source: str, destination: SpiffeId, method: str, path: str) -> HttpRequest | None:
    """Return a refused request as policy is asked about it; None where its caller has no name."""
    try:
        caller = SpiffeId.parse(source)
    except InputError:
        return None
    return HttpRequest(source=caller, destination=destination, method=method, path=path)
