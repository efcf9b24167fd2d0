import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.policy import notices, parse_policy

HEAD = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  a: {identity: spiffe://bank.example/a}
  b: {identity: spiffe://bank.example/b}
  c:
    identity: spiffe://bank.example/c
    accepts:
"""


def _codes(*rules: str) -> list[tuple[str, str]]:
    text = HEAD + "".join(f"      - {{{rule}}}\n" for rule in rules)
    found = notices(parse_policy(parse_document(text.encode(), name="access.yaml")))
    return [(notice.code, notice.rule) for notice in found]


def test_a_tight_policy_has_no_warnings() -> None:
    assert _codes("from: [a], methods: [GET], paths: [/x]", "from: [a], tcp: 5432") == []


def test_any_method_and_any_path_are_pointed_out() -> None:
    assert _codes("from: [a], methods: [GET]", "from: [b], paths: [/x]") == [
        ("policy.any_path", "c.accepts[0]"),
        ("policy.any_method", "c.accepts[1]"),
    ]


def test_an_identity_of_the_own_domain_that_no_service_has_is_pointed_out() -> None:
    rule = (
        'from: ["spiffe://bank.example/z", "spiffe://other.example/z"], methods: [GET], paths: [/]'
    )
    assert _codes(rule) == [("policy.undeclared_source", "c.accepts[0]")]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("from: [a, b], methods: [GET], paths: [/x]", "from: [a], methods: [GET], paths: [/x]"),
        ("from: [a], methods: [GET, PUT], paths: [/x]", "from: [a], methods: [PUT], paths: [/x]"),
        ("from: [a], methods: [GET], paths: [/**]", "from: [a], methods: [GET], paths: [/x]"),
        ("from: [a], methods: [GET], paths: ['/{x}']", "from: [a], methods: [GET], paths: [/x]"),
        (
            "from: [a], methods: [GET], paths: ['/x/**', '/{y}']",
            "from: [a], methods: [GET], paths: ['/x/{z}', '/x', '/x/y/**']",
        ),
        (
            "from: [a], methods: [GET], paths: [/x]",
            "from: [a], methods: [GET], paths: [/x], token: {}",
        ),
        ("from: [a, b], tcp: 1", "from: [b], tcp: 1"),
    ],
)
def test_a_rule_that_another_contains_is_pointed_out_in_either_order(
    wide: str, narrow: str
) -> None:
    assert _codes(wide, narrow) == [("policy.shadowed", "c.accepts[1]")]
    assert _codes(narrow, wide) == [("policy.shadowed", "c.accepts[0]")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from: [a], methods: [GET], paths: [/x]", "from: [b], methods: [GET], paths: [/x]"),
        ("from: [a], methods: [GET], paths: [/x]", "from: [a], methods: [PUT], paths: [/x]"),
        (
            "from: [a], methods: [GET], paths: ['/x/**']",
            "from: [a], methods: [GET], paths: [/x, /x/]",
        ),
        (
            "from: [a], methods: [GET], paths: ['/{y}']",
            "from: [a], methods: [GET], paths: [/x, /x/y]",
        ),
        ("from: [a], tcp: 1", "from: [a], tcp: 2"),
    ],
)
def test_rules_that_each_allow_something_alone_are_left_in_peace(one: str, other: str) -> None:
    assert _codes(one, other) == []
