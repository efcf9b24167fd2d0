"""Watches who presents transaction tokens: whoever never received one took it from somewhere.

Calls are gathered by transaction as they are recorded, and a transaction is judged as a whole once
its tokens have ended: a call is recorded when it is over, so that those that it caused come first.
Memory is bounded, the oldest transactions give way and are counted; a control plane that starts
again does not know what it had gathered.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshwarden.kernel import EXTERNAL, UNKNOWN, Call, Clock, DependencyError, Finding, Severity
from meshwarden.tokens import Link
from meshwarden.tokens.presentation import Presented, Stray, strays

LOOK_S: Final = 1.0
SETTLE_S: Final = 3.0
"""How long after its tokens' end the last call of a transaction may come to be recorded."""

MAX_TRANSACTIONS: Final = 50_000
MAX_CALLS: Final = 256
"""Calls of one transaction that are looked at; further ones are not."""


@dataclass(slots=True)
class _Gathered:
    since: float
    calls: list[Presented] = field(default_factory=list)


@dataclass(kw_only=True)
class Presentations:
    """The transactions that are under way.

    Attributes:
        chain: who asked for which token of a transaction.
        life_s: how long a token lives at most.
        tell: takes findings.
        clock: the time of day.
        forgotten: transactions that gave way before they were judged.
    """

    chain: Callable[[str], Awaitable[list[Link]]]
    life_s: Callable[[], float]
    tell: Callable[[Finding], None]
    clock: Clock
    forgotten: int = 0
    _offered: deque[Call] = field(init=False)
    _open: OrderedDict[str, _Gathered] = field(init=False, default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._offered = deque(maxlen=MAX_TRANSACTIONS)

    def offer(self, calls: Sequence[Call]) -> None:
        """Take recorded calls; from any thread. Who comes in at the edge presents no token."""
        self._offered.extend(
            call
            for call in calls
            if call.transaction and call.source != UNKNOWN and not call.source.startswith(EXTERNAL)
        )

    async def run(self) -> None:
        """Judge transactions as they end, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            self._gather(loop.time())
            await self._judge(loop.time() - self.life_s() - SETTLE_S)

    def _gather(self, now: float) -> None:
        while self._offered:
            call = self._offered.popleft()
            transaction = call.transaction or ""
            gathered = self._open.setdefault(transaction, _Gathered(since=now))
            if len(gathered.calls) < MAX_CALLS:
                gathered.calls.append(
                    Presented(
                        transaction=transaction,
                        source=call.source,
                        destination=call.destination,
                        refused=call.denied,
                    )
                )
        while len(self._open) > MAX_TRANSACTIONS:
            self._open.popitem(last=False)
            self.forgotten += 1

    async def _judge(self, before: float) -> None:
        """Judge what was first seen `before`."""
        while self._open and next(iter(self._open.values())).since < before:
            transaction, gathered = next(iter(self._open.items()))
            try:
                links = await self.chain(transaction)
            except DependencyError:
                return  # asked again at the next look
            del self._open[transaction]
            for stray in strays(links, gathered.calls) if links else ():
                self.tell(self._finding(stray))

    def _finding(self, stray: Stray) -> Finding:
        where = ", ".join(stray.destinations)
        return Finding(
            time=int(self.clock.now().timestamp() * 1_000_000) * 1000,
            code="tokens.presented_elsewhere",
            subject=stray.source,
            severity=Severity.HIGH,
            sentence=f"{stray.source} presented to {where} a transaction token that it never got;"
            f" transaction {stray.transaction}; look at its chain, and at the memory of whoever"
            " is in it",
            technique="T1550@18.1",
        )
