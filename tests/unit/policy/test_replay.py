from tests.unit.policy.traffic_cases import POLICY, call, observed, policy_of

from meshwarden.policy.traffic import Verdict, replay
from meshwarden.policy.traffic.render import render_replay, render_replay_markdown

NARROW = POLICY.replace("gateway, payments", "gateway").replace('"/v1/reports/**"', "/v1/me")


def test_an_unchanged_policy_changes_no_call() -> None:
    calls = observed(call(), call(at=1), call(denied=True, rule="default-deny", source="ledger"))
    found = replay(calls, policy_of())
    assert not found.changed
    assert found.calls == 3
    assert "2 allowed, 1 refused" in render_replay(found)


def test_newly_refused_calls_come_with_span_share_and_fix() -> None:
    calls = observed(call(source="payments"), call(source="payments", at=3), call(), call())
    found = replay(calls, policy_of(NARROW))
    (row,) = found.newly_refused
    assert (row.seen.count, row.judgement.verdict) == (2, Verdict.REFUSED)
    assert row.seen.last - row.seen.first == 3 * 86_400 * 10**9
    assert found.share_of(found.newly_refused) == 0.5
    assert row.fix == "add 'payments' to ledger.accepts[0].from"


def test_newly_allowed_calls_are_a_change_too() -> None:
    found = replay(observed(call(denied=True, rule="default-deny")), policy_of())
    assert found.changed
    assert [row.seen.count for row in found.newly_allowed] == [1]


def test_another_policy_stands_in_for_the_record() -> None:
    calls = observed(call(source="payments", denied=True, rule="default-deny"))
    assert replay(calls, policy_of(NARROW), policy_of()).newly_refused
    assert not replay(calls, policy_of(), policy_of()).changed


def test_a_fix_for_a_recorded_route_is_a_placeholder() -> None:
    (row,) = replay(observed(call("/v2/{}/x")), policy_of()).newly_refused
    assert row.fix == "add /v2/{value}/x to ledger.accepts[0].paths"


def test_no_route_can_break_out_of_the_markdown_table() -> None:
    calls = observed(call("/a|b`\n| x ``"), call("/x\x1b[2J"))
    text = render_replay_markdown(replay(calls, policy_of()))
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == 2
    assert all(line.replace("\\|", "").count("|") == 8 for line in rows)
    assert "\x1b" not in text + render_replay(replay(calls, policy_of()))


def test_no_calls_are_no_proof() -> None:
    assert "nothing is known" in render_replay(replay([], policy_of()))


def test_the_token_that_the_deciding_rule_asked_for_is_known_from_the_other_policy() -> None:
    closing = call("/v1/accounts/{}", "DELETE", source="payments", rule="ledger.accepts[2]")
    stricter = policy_of(POLICY.replace("scopes: [close]", "scopes: [close, audit]"))
    assert replay(observed(closing), policy_of(), policy_of()).verdicts == {Verdict.ALLOWED: 1}
    assert replay(observed(closing), stricter, policy_of()).verdicts == {Verdict.UNDECIDED: 1}
    elsewhere = call("/v1/accounts/{}", "DELETE", source="payments", rule="ledger.accepts[0]")
    assert replay(observed(elsewhere), policy_of(), policy_of()).verdicts == {Verdict.UNDECIDED: 1}
