"""Watches who presents transaction tokens: whoever never received one took it from somewhere.

Calls are gathered by transaction as they are recorded. A caller that nobody can have handed a token
of the transaction is told at once. All others are judged once its tokens have ended, the
transaction as a whole: a call is recorded when it is over, so that those that it caused come first.
Memory is bounded, the oldest transactions give way and are counted; a control plane that starts
again does not know what it had gathered.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import EXTERNAL, UNKNOWN, Clock, DependencyError, Finding, Severity
from meshwarden.tokens import Holder
from meshwarden.tokens.presentation import Presented, Stray, strays, strays_beside

LOOK_S: Final = 0.25
SETTLE_S: Final = 3.0
"""How long after its tokens' end the last call of a transaction may come to be recorded."""

MAX_TRANSACTIONS: Final = 50_000
MAX_CALLS: Final = 256
"""Calls of one transaction that are looked at; further ones are not."""

JUDGED_AT_ONCE: Final = 1000
"""Transactions whose holders are asked for together."""

_PRESENTED: Final = ("transaction", "source", "destination", "denied")
_UNREACHED: Final = "no rule lets anybody in its chain hand it on to that service"
_NOT_CALLED: Final = "nobody who had it called that service under it"


@dataclass(slots=True)
class _Gathered:
    since: float
    calls: list[Presented] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)


@dataclass(kw_only=True)
class Presentations:
    """The transactions that are under way.

    Attributes:
        holders: who asked for tokens of transactions, by transaction.
        outside: which of the callers nobody can have handed a token of these holders.
        life_s: how long a token lives at most.
        tell: takes findings.
        clock: the time of day.
        forgotten: transactions that gave way before they were judged.
    """

    holders: Callable[[Sequence[str]], Awaitable[dict[str, list[Holder]]]]
    outside: Callable[[Sequence[Holder], Collection[str]], frozenset[str]]
    life_s: Callable[[], float]
    tell: Callable[[Finding], None]
    clock: Clock
    forgotten: int = 0
    _offered: deque[Presented] = field(init=False)
    _open: OrderedDict[str, _Gathered] = field(init=False, default_factory=OrderedDict)
    _new: dict[str, None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._offered = deque(maxlen=MAX_TRANSACTIONS)

    def offer(self, calls: pa.Table) -> None:
        """Take recorded calls (CALL_SCHEMA); from any thread.

        Who comes in at the edge presents no token.
        """
        under = calls.filter(pc.is_valid(calls["transaction"]))
        columns = (under[name].to_pylist() for name in _PRESENTED)
        self._offered.extend(
            Presented(transaction=transaction, source=source, destination=callee, refused=refused)
            for transaction, source, callee, refused in zip(*columns, strict=True)
            if source != UNKNOWN and not source.startswith(EXTERNAL)
        )

    def present(self, presented: Presented) -> None:
        """Take what no record of calls shows: a token in the body of a request for another."""
        self._offered.append(presented)

    async def run(self) -> None:
        """Judge transactions, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            self.gather(loop.time())
            await self.judge_at_once()
            await self.judge(loop.time() - self.life_s() - SETTLE_S)

    def gather(self, now: float) -> None:
        """Sort what was offered by transaction; `now` is the loop's time."""
        while self._offered:
            self._put(self._offered.popleft(), now)
        while len(self._open) > MAX_TRANSACTIONS:
            given_way, _ = self._open.popitem(last=False)
            self._new.pop(given_way, None)
            self.forgotten += 1

    async def judge_at_once(self) -> None:
        """Tell of new callers that nobody can have handed a token."""
        while some := list(self._new)[:JUDGED_AT_ONCE]:
            try:
                known = await self.holders(some)
            except DependencyError:
                return  # asked again at the next look
            for transaction in some:
                self._new.pop(transaction, None)
                self._tell_outsiders(self._open.get(transaction), known.get(transaction, []))

    async def judge(self, before: float) -> None:
        """Judge transactions that were first seen `before`."""
        while ended := self._ended(before):
            try:
                known = await self.holders(ended)
            except DependencyError:
                return  # asked again at the next look
            for transaction in ended:
                gathered = self._open.pop(transaction, None)
                self._new.pop(transaction, None)
                if gathered is not None and transaction in known:
                    holders = {one.requester for one in known[transaction]}
                    self._tell(strays(holders, gathered.calls), gathered, _NOT_CALLED)

    def _put(self, presented: Presented, now: float) -> None:
        gathered = self._open.setdefault(presented.transaction, _Gathered(since=now))
        if len(gathered.calls) >= MAX_CALLS:
            return
        gathered.calls.append(presented)
        if presented.source not in gathered.sources:
            gathered.sources.add(presented.source)
            self._new[presented.transaction] = None

    def _ended(self, before: float) -> list[str]:
        """Return the oldest transactions that were first seen `before`, bounded."""
        found: list[str] = []
        for transaction, gathered in self._open.items():
            if gathered.since >= before or len(found) >= JUDGED_AT_ONCE:
                break
            found.append(transaction)
        return found

    def _tell_outsiders(self, gathered: _Gathered | None, holders: Sequence[Holder]) -> None:
        if gathered is None:
            return
        outside = self.outside(holders, gathered.sources)
        if outside:
            beside = strays_beside(gathered.sources - outside, gathered.calls)
            self._tell(beside, gathered, _UNREACHED)

    def _tell(self, found: Sequence[Stray], gathered: _Gathered, why: str) -> None:
        for stray in found:
            if stray.source not in gathered.told:
                gathered.told.add(stray.source)
                self.tell(self._finding(stray, why))

    def _finding(self, stray: Stray, why: str) -> Finding:
        where = ", ".join(stray.destinations)
        return Finding(
            time=int(self.clock.now().timestamp() * 1_000_000) * 1000,
            code="tokens.presented_elsewhere",
            subject=stray.source,
            severity=Severity.HIGH,
            sentence=f"{stray.source} presented to {where} a transaction token that it never got:"
            f" {why}; transaction {stray.transaction}; look at its chain, and at the memory of"
            " whoever is in it",
            technique="T1550@18.1",
            evidence=(stray.transaction,),
        )
