"""Documents refuse what is not as expected, and say where."""

from collections.abc import Callable

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import InputError, Node


def document(text: str) -> Node:
    return parse_document(text.encode(), name="m.yaml")


@pytest.mark.parametrize(
    ("text", "read", "says"),
    [
        ("a: 1\nb: {c: x}", lambda d: d.mapping()["b"].fields(optional=["cc"]), "m.yaml:2: unknown key 'c' under b (did you mean 'cc'?)"),
        ("\na: 1", lambda d: d.fields(required=["b"], optional=["a"]), "m.yaml:2: missing key 'b'"),
        ("a: [1, x]", lambda d: d.mapping()["a"].texts(), "m.yaml:1: a[0] must be a text, not 1"),
        ("a: yes", lambda d: d.mapping()["a"].boolean(), "a must be true or false, not 'yes'"),
        ("a: true", lambda d: d.mapping()["a"].integer(0, 9), "a must be a whole number from 0 to 9, not True"),
        ("a: 10", lambda d: d.mapping()["a"].integer(0, 9), "a must be a whole number from 0 to 9, not 10"),
        ("a: .nan", lambda d: d.mapping()["a"].number(0, 1), "a must be a number from 0 to 1, not '.nan'"),
        ("a: ''", lambda d: d.mapping()["a"].text(), "a must be a text, not ''"),
        ("- a", lambda d: d.mapping(), "the document must be a mapping (key: value), not a list"),
        ("a: {b: 1}", lambda d: d.mapping()["a"].items(), "a must be a list, not a mapping"),
    ],
)  # fmt: skip
def test_an_error_names_line_path_and_what_was_expected(
    text: str, read: Callable[[Node], object], says: str
) -> None:
    with pytest.raises(InputError) as refused:
        read(document(text))
    assert says in str(refused.value)


def test_null_counts_as_absent_where_a_field_is_optional() -> None:
    assert document("a:").fields(optional=["a"]).get("a") is None
