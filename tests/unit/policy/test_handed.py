"""Whom a transaction token can have been handed to, by the policy."""

from meshwarden.policy import AccessPolicy, handed_to

GATEWAY, PAYMENTS, LEDGER, BOOKS, STATEMENTS = (
    f"spiffe://bank.example/{name}"
    for name in ("gateway", "payments", "ledger", "ledger-db", "statements")
)
ALL = ("transfer:write", "ledger:read")


def test_whoever_may_be_called_may_have_it_also_over_a_connection(bank: AccessPolicy) -> None:
    assert handed_to(bank, [GATEWAY], ALL) == {GATEWAY, PAYMENTS, LEDGER, BOOKS}


def test_a_rule_that_demands_a_scope_of_no_token_lets_nobody_pass(bank: AccessPolicy) -> None:
    assert handed_to(bank, [GATEWAY], ["transfer:write"]) == {GATEWAY}


def test_a_caller_that_nobody_may_call_has_it_only_if_it_asked_for_it(bank: AccessPolicy) -> None:
    assert STATEMENTS not in handed_to(bank, [GATEWAY, PAYMENTS], ALL)
    assert STATEMENTS in handed_to(bank, [STATEMENTS], ())


def test_who_is_no_service_hands_it_on_by_its_rules_alone(bank: AccessPolicy) -> None:
    auditor = "spiffe://partner.example/auditor"
    assert handed_to(bank, [auditor], ()) == {auditor, LEDGER, BOOKS}
    assert handed_to(bank, [], ALL) == frozenset()
