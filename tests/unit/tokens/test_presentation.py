"""A token used by a workload that never received it is seen, in whatever order records arrive."""

from itertools import permutations

from meshwarden.tokens.presentation import Presented, Stray, receivers, strays, strays_beside

HOLDERS = ["gateway"]


def call(source: str, destination: str) -> Presented:
    return Presented(transaction="t", source=source, destination=destination)


CHAIN = [call("gateway", "payments"), call("payments", "ledger"), call("payments", "aml")]


def test_a_token_that_was_passed_on_from_hop_to_hop_is_no_finding() -> None:
    for order in permutations(CHAIN):
        assert strays(HOLDERS, order) == []
    assert receivers(HOLDERS, CHAIN) == {"gateway", "payments", "ledger", "aml"}


def test_a_thief_that_was_never_called_under_it_is_a_finding() -> None:
    stolen = [*CHAIN, call("notifications", "ledger"), call("notifications", "accounts")]
    expected = [Stray(transaction="t", source="notifications", destinations=("accounts", "ledger"))]
    for order in permutations(stolen):
        assert strays(HOLDERS, order) == expected


def test_whoever_was_refused_received_nothing_and_who_asked_is_still_a_finding() -> None:
    refused = Presented(transaction="t", source="payments", destination="notes", refused=True)
    stolen = Presented(transaction="t", source="notes", destination="ledger", refused=True)
    expected = [Stray(transaction="t", source="notes", destinations=("ledger",))]
    assert strays(HOLDERS, [*CHAIN, refused, stolen]) == expected


def test_whom_a_thief_calls_has_not_received_it_and_a_circle_ends() -> None:
    found = strays(HOLDERS, [*CHAIN, call("x", "y"), call("y", "x")])
    assert [one.source for one in found] == ["x", "y"]


def test_beside_those_who_may_have_it_everybody_is_a_finding_once() -> None:
    stolen = [*CHAIN, call("notes", "ledger"), call("notes", "accounts"), call("notes", "ledger")]
    expected = [Stray(transaction="t", source="notes", destinations=("accounts", "ledger"))]
    assert strays_beside({"gateway", "payments"}, stolen) == expected
    assert strays_beside({"gateway", "payments", "notes"}, stolen) == []
