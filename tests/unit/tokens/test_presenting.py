"""Who presents tokens, watched: told at once where nobody can have handed it on, else at the end."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from meshwarden.control.tokens.presenting import MAX_CALLS, Presentations
from meshwarden.kernel import Call, DependencyError, Finding, calls_to_table
from meshwarden.tokens import Holder
from meshwarden.tokens.presentation import Presented

GATEWAY, PAYMENTS, LEDGER, THIEF = (
    f"spiffe://bank.example/{name}" for name in ("gateway", "payments", "ledger", "thief")
)
HOLDER = Holder(requester=GATEWAY, scopes=("a",), since=1)


class Noon:
    def now(self) -> datetime:
        return datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass
class World:
    """Presentations whose transactions the gateway began; `THIEF` is outside where `told`."""

    told: bool = True
    down: bool = False
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = Presentations(
            holders=self.holders, outside=self.outside, life_s=lambda: 30.0,
            tell=self.findings.append, clock=Noon(),
        )  # fmt: skip

    async def holders(self, transactions: Sequence[str]) -> dict[str, list[Holder]]:
        if self.down:
            raise DependencyError("tokens.storage", "gone")
        return {one: [HOLDER] for one in transactions if one.startswith("t")}

    def outside(self, holders: Sequence[Holder], sources: Collection[str]) -> frozenset[str]:
        found = {THIEF} if self.told and holders else set()
        return frozenset(sources) & found

    async def look(self, *calls: Call, now: float = 0.0) -> list[str]:
        self.watch.offer(calls_to_table(calls))
        self.watch.gather(now)
        await self.watch.judge_at_once()
        return [one.subject for one in self.findings]


def call(source: str, destination: str, transaction: str = "t1", *, denied: bool = False) -> Call:
    return Call(
        time=1, source=source, destination=destination, protocol="http", duration=1,
        reporter="destination", transaction=transaction, denied=denied,
    )  # fmt: skip


async def test_a_caller_that_nobody_can_have_handed_it_is_told_at_once_and_once() -> None:
    world = World()
    assert await world.look(call(GATEWAY, PAYMENTS), call(PAYMENTS, LEDGER)) == []
    assert await world.look(call(THIEF, LEDGER, denied=True)) == [THIEF]
    assert await world.look(call(THIEF, LEDGER)) == [THIEF]
    await world.watch.judge(100.0)
    assert [one.subject for one in world.findings] == [THIEF]
    [finding] = world.findings
    assert (finding.code, finding.evidence) == ("tokens.presented_elsewhere", ("t1",))


async def test_who_may_have_been_handed_it_is_judged_at_the_end() -> None:
    world = World(told=False)
    assert await world.look(call(GATEWAY, PAYMENTS), call(THIEF, LEDGER)) == []
    await world.watch.judge(0.0)
    assert world.findings == []
    await world.watch.judge(1.0)
    assert [one.subject for one in world.findings] == [THIEF]


async def test_who_was_called_by_a_holder_in_the_end_is_no_finding() -> None:
    world = World(told=False)
    await world.look(call(PAYMENTS, LEDGER))
    await world.look(call(GATEWAY, PAYMENTS))  # recorded when it is over
    await world.watch.judge(1.0)
    assert world.findings == []


async def test_a_transaction_that_nobody_knows_is_not_judged() -> None:
    world = World()
    assert await world.look(call(THIEF, LEDGER, "unknown")) == []
    await world.watch.judge(1.0)
    assert world.findings == []


async def test_without_the_record_of_tokens_it_is_asked_again_later() -> None:
    world = World(down=True)
    assert await world.look(call(THIEF, LEDGER)) == []
    await world.watch.judge(1.0)
    world.down = False
    assert await world.look() == [THIEF]


async def test_a_token_in_the_body_of_a_request_for_another_counts_too() -> None:
    world = World()
    world.watch.present(Presented(transaction="t1", source=THIEF, destination=LEDGER, refused=True))
    assert await world.look() == [THIEF]


async def test_customers_at_the_edge_present_nothing() -> None:
    world = World()
    await world.look(call("external:203.0.113.9", GATEWAY), call("unknown", LEDGER))
    await world.watch.judge(1.0)
    assert world.findings == []


async def test_calls_without_end_under_one_transaction_are_bounded() -> None:
    world = World()
    many = [call(GATEWAY, f"spiffe://bank.example/s{n}") for n in range(2 * MAX_CALLS)]
    assert await world.look(*many) == []
    assert await world.look(call(THIEF, LEDGER, "t2")) == [THIEF]
