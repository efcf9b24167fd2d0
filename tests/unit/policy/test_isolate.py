from itertools import product

from meshwarden.policy import AccessPolicy, Connection, HttpRequest, decide
from meshwarden.policy.isolate import isolate

REQUESTS = [("POST", "/v1/transfers"), ("POST", "/v1/entries"), ("GET", "/v1/accounts/7")]


def test_a_service_in_quarantine_calls_nobody_and_is_called_by_nobody_and_the_rest_goes_on(
    bank: AccessPolicy,
) -> None:
    rest = isolate(bank, {"payments"})
    claims = {"scope": "transfer:write ledger:read", "acr": "mfa"}
    identities = [service.identity for service in bank.services.values()]
    cut = bank.services["payments"].identity
    kept = 0
    for source, destination, (method, path) in product(identities, identities, REQUESTS):
        asked = HttpRequest(source=source, destination=destination, method=method, path=path)
        before, after = decide(bank, asked, claims), decide(rest, asked, claims)
        if cut in {source, destination}:
            assert not after.allowed
        else:
            assert (after.allowed, after.rule) == (before.allowed, before.rule)
            kept += after.allowed
    assert kept
    ledger, database = bank.services["ledger"], bank.services["ledger-db"]
    asked_tcp = Connection(source=ledger.identity, destination=database.identity, port=5432)
    assert decide(rest, asked_tcp).allowed
    assert not decide(isolate(bank, {"ledger"}), asked_tcp).allowed


def test_outside_hosts_are_cut_off_too_and_unknown_names_change_nothing(bank: AccessPolicy) -> None:
    assert isolate(bank, set()) is bank
    assert isolate(bank, {"nobody"}).services == bank.services
    assert all(not one.egress for one in isolate(bank, bank.services).services.values())
    assert all(not one.accepts for one in isolate(bank, {"payments", "ledger"}).services.values()
               if one.name in {"payments", "ledger"})  # fmt: skip
