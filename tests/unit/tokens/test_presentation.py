"""A token used by a workload that never received it is seen, in whatever order records arrive."""

from itertools import permutations

from meshwarden.tokens import Link
from meshwarden.tokens.presentation import Presented, Stray, receivers, strays

LINK = Link(
    transaction="t", time=1, requester="gateway", subject="u", session=None, scopes=("a",), expires=31
)  # fmt: skip


def call(source: str, destination: str) -> Presented:
    return Presented(transaction="t", source=source, destination=destination)


CHAIN = [call("gateway", "payments"), call("payments", "ledger"), call("payments", "aml")]


def test_a_token_that_was_passed_on_from_hop_to_hop_is_no_finding() -> None:
    for order in permutations(CHAIN):
        assert strays([LINK], order) == []
    assert receivers([LINK], CHAIN) == {"gateway", "payments", "ledger", "aml"}


def test_a_thief_that_was_never_called_under_it_is_a_finding() -> None:
    stolen = [*CHAIN, call("notifications", "ledger"), call("notifications", "accounts")]
    expected = [Stray(transaction="t", source="notifications", destinations=("accounts", "ledger"))]
    for order in permutations(stolen):
        assert strays([LINK], order) == expected


def test_whoever_was_refused_received_nothing_and_who_asked_is_still_a_finding() -> None:
    refused = Presented(transaction="t", source="payments", destination="notes", refused=True)
    stolen = Presented(transaction="t", source="notes", destination="ledger", refused=True)
    expected = [Stray(transaction="t", source="notes", destinations=("ledger",))]
    assert strays([LINK], [*CHAIN, refused, stolen]) == expected


def test_whom_a_thief_calls_has_not_received_it_and_a_circle_ends() -> None:
    found = strays([LINK], [*CHAIN, call("x", "y"), call("y", "x")])
    assert [one.source for one in found] == ["x", "y"]
