from typing import Any

import pytest

from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, Connection, HttpRequest, decide, explain


def _id(name: str) -> SpiffeId:
    return SpiffeId.parse(name if "://" in name else f"spiffe://bank.example/{name}")


def _http(caller: str, callee: str, method: str, path: str) -> HttpRequest:
    return HttpRequest(source=_id(caller), destination=_id(callee), method=method, path=path)


def _tcp(caller: str, callee: str, port: int) -> Connection:
    return Connection(source=_id(caller), destination=_id(callee), port=port)


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (_http("payments", "ledger", "POST", "/v1/entries"), "ledger.accepts[0]"),
        (_http("payments", "ledger", "POST", "/v1/x/../entries?y"), "ledger.accepts[0]"),
        (_http("statements", "ledger", "GET", "/v1/accounts/7"), "ledger.accepts[1]"),
        (_http("statements", "ledger", "GET", "/v1/reports/2026/10"), "ledger.accepts[1]"),
        (_http("spiffe://partner.example/auditor", "ledger", "BREW", "/"), "ledger.accepts[2]"),
        (_tcp("ledger", "ledger-db", 5432), "ledger-db.accepts[0]"),
    ],
)
def test_what_a_rule_allows_is_allowed_by_that_rule(
    bank: AccessPolicy, asked: HttpRequest | Connection, rule: str
) -> None:
    decision = decide(bank, asked)
    assert (decision.allowed, decision.rule, decision.fix) == (True, rule, None)


@pytest.mark.parametrize(
    ("asked", "fix"),
    [
        (
            _http("gateway", "ledger", "POST", "/v1/entries"),
            "add 'gateway' to ledger.accepts[0].from",
        ),
        (
            _http("statements", "ledger", "DELETE", "/v1/accounts/7"),
            "add DELETE to ledger.accepts[1].methods",
        ),
        (
            _http("payments", "ledger", "POST", "/v1/entries/"),
            "add /v1/entries/ to ledger.accepts[0].paths",
        ),
        (
            _http("statements", "ledger", "GET", "/v1/a%20b"),
            "add /v1/{value} to ledger.accepts[1].paths",
        ),
        (
            _http("gateway", "ledger", "PUT", "/v1/x"),
            'add {from: [gateway], methods: [PUT], paths: ["/v1/x"]} to ledger.accepts',
        ),
        (
            _http("payments", "gateway", "GET", "/"),
            'add {from: [payments], methods: [GET], paths: ["/"]} to gateway.accepts',
        ),
        (_tcp("payments", "ledger-db", 5432), "add 'payments' to ledger-db.accepts[0].from"),
        (
            _tcp("ledger", "ledger-db", 5433),
            "add {from: [ledger], tcp: 5433} to ledger-db.accepts",
        ),
        (_tcp("payments", "ledger", 80), "add {from: [payments], tcp: 80} to ledger.accepts"),
        (
            _http("ledger", "ledger-db", "GET", "/"),
            'add {from: [ledger], methods: [GET], paths: ["/"]} to ledger-db.accepts',
        ),
    ],
)
def test_a_refusal_names_the_smallest_change(
    bank: AccessPolicy, asked: HttpRequest | Connection, fix: str
) -> None:
    decision = decide(bank, asked)
    assert (decision.allowed, decision.rule, decision.fix) == (False, None, fix)


@pytest.mark.parametrize(
    "asked",
    [
        _http("payments", "ledger", "POST", "/v1/entries%2f"),
        _http("spiffe://partner.example/auditor", "ledger", "OPTIONS", "*"),
        _http("spiffe://partner.example/auditor", "ledger", "CONNECT", ""),
        _http("payments", "unknown", "POST", "/v1/entries"),
        _http("payments", "ledger", "not a method", "/v1/entries"),
    ],
)
def test_no_change_is_proposed_for_what_no_policy_should_allow(
    bank: AccessPolicy, asked: HttpRequest
) -> None:
    decision = decide(bank, asked)
    assert (decision.allowed, decision.fix) == (False, None)


GOOD_CLAIMS = {
    "scope": "ledger:read transfer:write x",
    "acr": "mfa",
    "req_wl": "spiffe://bank.example/gateway",
}


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({}, True),
        ({"scope": "transfer:write"}, False),
        ({"scope": ["transfer:write", "ledger:read", 7]}, True),  # as a proxy splits it
        ({"scope": ["transfer:write ledger:read"]}, False),
        ({"scope": None}, False),
        ({"acr": "pwd"}, False),
        ({"acr": None}, False),
        ({"req_wl": "spiffe://bank.example/other"}, False),
    ],
)
def test_a_rule_with_a_token_needs_claims_that_satisfy_it(
    bank: AccessPolicy, change: dict[str, Any], allowed: bool
) -> None:
    asked = _http("gateway", "payments", "POST", "/v1/transfers")
    assert decide(bank, asked, GOOD_CLAIMS | change).allowed is allowed


def test_without_a_token_a_rule_with_a_token_allows_nothing_and_says_what_is_missing(
    bank: AccessPolicy,
) -> None:
    decision = decide(bank, _http("gateway", "payments", "POST", "/v1/transfers"))
    assert not decision.allowed
    assert decision.fix is not None
    assert "scope transfer:write" in decision.fix
    assert "acr mfa" in decision.fix


def test_an_explanation_of_a_permission_shows_the_rule_and_its_line(bank: AccessPolicy) -> None:
    asked = _http("statements", "ledger", "GET", "/v1/./accounts/7?full")
    assert explain(bank, asked) == (
        "allowed: statements to ledger, GET /v1/./accounts/7?full (read as /v1/accounts/7)",
        "by: ledger.accepts[1] at access.yaml:15: from payments, statements; GET; "
        "/v1/accounts/{id}, /v1/reports/**",
    )


def test_an_explanation_of_a_refusal_shows_the_nearest_rule_and_the_change(
    bank: AccessPolicy,
) -> None:
    assert explain(bank, _tcp("payments", "ledger-db", 5432)) == (
        "refused: payments to ledger-db, connection to port 5432",
        "why: no rule of ledger-db allows it",
        "nearest: ledger-db.accepts[0] at access.yaml:20: from ledger; tcp 5432",
        "it misses: from",
        "to allow it: add 'payments' to ledger-db.accepts[0].from",
    )
