"""What became of stolen tokens, by record, findings and policy."""

import pyarrow as pa

from meshwarden.cli.replay_text import replay_lines, replay_object
from meshwarden.kernel import Call, Finding, Severity, calls_to_table
from meshwarden.lab.attacks import ATTACKS
from meshwarden.lab.attacks.forgotten import policy_found_by
from meshwarden.lab.attacks.simulate import simulated_foothold
from meshwarden.lab.replay import Replay, tell_replays
from meshwarden.policy import AccessPolicy

ATTACK = ATTACKS["token-replay"]
POLICY: AccessPolicy = policy_found_by(ATTACK)
SUSPECT = POLICY.services["scoring"].identity
BOOKS, READS = (f"stolen-{scope}" for scope in ATTACK.wants)
S = 1_000_000_000


def replayed(*, denied: bool = True, found: bool = True) -> tuple[Replay, ...]:
    loot = simulated_foothold(POLICY, ATTACK).loot
    findings = [finding(BOOKS), finding(READS)] if found else []
    return tell_replays(loot, SUSPECT, POLICY, findings, calls(denied=denied))


def finding(transaction: str) -> Finding:
    return Finding(
        time=3 * S, code="tokens.presented_elsewhere", subject=str(SUSPECT),
        severity=Severity.HIGH, sentence="presented", evidence=(transaction,),
    )  # fmt: skip


def calls(*, denied: bool) -> pa.Table:
    def call(callee: str, method: str, route: str, transaction: str, refused: bool) -> Call:
        return Call(
            time=2 * S, source=str(SUSPECT), destination=str(POLICY.services[callee].identity),
            protocol="http", method=method, route=route, duration=1, reporter="destination",
            transaction=transaction, denied=refused,
        )  # fmt: skip

    return calls_to_table(
        [
            call("ledger", "POST", "/v1/transfers", BOOKS, denied),
            call("ledger", "POST", "/v1/transfers", BOOKS, denied),
            call("accounts", "GET", "/v1/customers/{}/accounts", READS, refused=False),
            call("accounts", "GET", "/v1/customers/{}", "t3", refused=False),
        ]
    )


def test_a_bound_rule_and_one_that_is_not_are_told_apart() -> None:
    bound, free = replayed()
    assert (bound.rule, bound.bound, bound.tried, bound.refused) == (
        "ledger.accepts[0]", True, 2, 2,
    )  # fmt: skip
    assert (free.rule, free.bound, free.tried, free.refused) == ("accounts.accepts[0]", False, 1, 0)
    assert (bound.found_after_ms, bound.useless, free.useless) == (1000.0, True, True)


def test_a_replay_that_passed_where_it_is_bound_was_not_useless() -> None:
    bound, _ = replayed(denied=False)
    assert not bound.useless


def test_one_that_nobody_found_is_said_to_be() -> None:
    told = replayed(found=False)
    assert not any(one.useless for one in told)
    assert all("NOT FOUND" in line for line in replay_lines(told))
    assert replay_object(told[0])["found"] is None
