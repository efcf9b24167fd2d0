"""The access policy as prior knowledge of the behaviour model."""

import pytest

from meshwarden.adapters.yaml import load_document, parse_document
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.policy import parse_policy

BANK = "spiffe://bank.example/ns/"


@pytest.fixture(scope="module")
def declared() -> DeclaredPolicy:
    return DeclaredPolicy(parse_policy(load_document(ACCESS_POLICY)))


@pytest.mark.parametrize(
    ("source", "destination", "method", "route", "said"),
    [
        (BANK + "core/sa/payments", BANK + "core/sa/ledger", "POST", "/v1/transfers", True),
        (BANK + "core/sa/payments", BANK + "core/sa/ledger", "DELETE", "/v1/transfers", False),
        (BANK + "edge/sa/notifications", BANK + "core/sa/ledger", "POST", "/v1/transfers", False),
        (
            BANK + "core/sa/accounts",
            BANK + "core/sa/ledger",
            "GET",
            "/v1/accounts/{}/entries",
            True,
        ),
        (BANK + "core/sa/accounts", BANK + "core/sa/ledger", "GET", "/v1/{}/{}/{}", False),
        (BANK + "core/sa/payments", "external:api.cardnetwork.example", "POST", "/v1/new", None),
        (BANK + "core/sa/ledger", "external:api.cardnetwork.example:80", None, None, False),
        (BANK + "core/sa/ledger", "external:elsewhere.example", None, None, False),
        ("unknown", BANK + "core/sa/ledger", "GET", "/", None),
        (BANK + "core/sa/ledger", BANK + "unheard-of", "GET", "/", None),
        (BANK + "core/sa/ledger", "unknown", "GET", "/", None),
        ("spiffe://elsewhere.example/x", "external:elsewhere.example", None, None, None),
    ],
)
def test_what_the_policy_says_about_an_edge(
    declared: DeclaredPolicy,
    source: str,
    destination: str,
    method: str | None,
    route: str | None,
    said: bool | None,
) -> None:
    assert declared.allows(source, destination, method, route) is said


def test_a_replaced_policy_is_no_longer_asked() -> None:
    text = ACCESS_POLICY.read_text("utf-8")
    declared = DeclaredPolicy(parse_policy(load_document(ACCESS_POLICY)))
    edge = (BANK + "core/sa/payments", BANK + "core/sa/ledger", "POST", "/v1/transfers")
    assert declared.allows(*edge)
    changed = text.replace("/v1/transfers", "/v1/moved")
    declared.replace(parse_policy(parse_document(changed.encode(), name="changed")))
    assert declared.allows(*edge) is False
