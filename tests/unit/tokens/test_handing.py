"""Nobody is said to be outside who could have been handed a token by any policy meanwhile."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.tokens.handing import KEEP_S, MAX_POLICIES, Handing
from meshwarden.policy import AccessPolicy, parse_policy
from meshwarden.tokens import Holder

GATEWAY, LEDGER, WORKER = (f"spiffe://bank.example/{n}" for n in ("gateway", "ledger", "worker"))
TEXT = """\
apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {{identity: spiffe://bank.example/gateway}}
  ledger:
    identity: spiffe://bank.example/ledger
    accepts: [{{from: [gateway, worker], methods: [GET], paths: [/a]}}]
  worker:
    identity: spiffe://bank.example/worker
    accepts: [{{from: [{calls_worker}], methods: [GET], paths: [/a]}}]
"""


def policy(calls_worker: str = "worker") -> AccessPolicy:
    text = TEXT.format(calls_worker=calls_worker)
    return parse_policy(parse_document(text.encode(), name="access.yaml"))


@dataclass
class Clock:
    time: datetime = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def pass_s(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def holders(self) -> list[Holder]:
        return [Holder(requester=GATEWAY, scopes=("a",), since=int(self.time.timestamp()))]


def following(clock: Clock, *policies: AccessPolicy) -> Handing:
    handing = Handing(clock=clock)
    for one in policies:
        clock.pass_s(2)
        handing.follow(one)
    return handing


def test_who_is_called_by_nobody_that_has_it_is_outside() -> None:
    clock = Clock()
    handing = following(clock, policy())
    assert handing.outside(clock.holders(), [GATEWAY, LEDGER, WORKER]) == {WORKER}


def test_a_policy_that_was_in_force_still_counts_for_an_hour() -> None:
    clock = Clock()
    handing = following(clock, policy("gateway"), policy())
    assert handing.outside(clock.holders(), [WORKER]) == frozenset()
    clock.pass_s(KEEP_S - 1)
    handing.follow(policy())
    assert handing.outside(clock.holders(), [WORKER]) == frozenset()
    clock.pass_s(2)
    handing.follow(policy())
    assert handing.outside(clock.holders(), [WORKER]) == {WORKER}


def test_more_policies_than_are_remembered_say_nothing() -> None:
    clock = Clock()
    handing = following(clock, *[policy() for _ in range(MAX_POLICIES + 1)])
    assert handing.outside(clock.holders(), [WORKER]) == frozenset()


def test_a_transaction_from_before_this_process_says_nothing() -> None:
    clock = Clock()
    before = clock.holders()
    handing = following(clock, policy())
    assert handing.outside(before, [WORKER]) == frozenset()
    assert handing.outside([], [WORKER]) == frozenset()


def test_others_than_services_of_the_mesh_are_not_judged() -> None:
    clock = Clock()
    handing = following(clock, policy())
    foreign = "spiffe://partner.example/auditor"
    assert handing.outside(clock.holders(), [foreign]) == frozenset()
