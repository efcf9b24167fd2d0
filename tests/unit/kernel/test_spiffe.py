"""SPIFFE IDs: the grammar of the SPIFFE-ID standard, sections 2.1 to 2.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwarden.kernel import InputError, SpiffeId

SEGMENTS = st.text("abcXYZ019._-", min_size=1, max_size=12).filter(lambda s: s not in {".", ".."})


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://bank.example/ns/core/sa/ledger",
        "SPIFFE://bank.example/x",
        "spiffe://10.0.0.1/x",
        "spiffe://a_b-c.d/...",
        "spiffe://" + "d" * 255 + "/" + "p" * 1700,
    ],
)
def test_the_grammar_accepts(text: str) -> None:
    assert str(SpiffeId.parse(text)) == "spiffe" + text[6:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bank.example/x",
        "https://bank.example/x",
        "spiffe://bank.example",
        "spiffe://bank.example/",
        "spiffe:///x",
        "spiffe://Bank.example/x",
        "spiffe://bank.example:443/x",
        "spiffe://user@bank.example/x",
        "spiffe://bank%2eexample/x",
        "spiffe://[::1]/x",
        "spiffe://bank.example/x/",
        "spiffe://bank.example//x",
        "spiffe://bank.example/./x",
        "spiffe://bank.example/x/..",
        "spiffe://bank.example/x%2fy",
        "spiffe://bank.example/x?y",
        "spiffe://bank.example/x#y",
        "spiffe://bank.example/ü",
        "spiffe://bank.example/x\n",
        "spiffe://" + "d" * 256 + "/x",
        "spiffe://bank.example/" + "p" * 2048,
    ],
)
def test_the_grammar_refuses(text: str) -> None:
    with pytest.raises(InputError) as refused:
        SpiffeId.parse(text)
    assert refused.value.code in {"spiffe.id", "spiffe.trust_domain"}


@given(st.text("abc019._-", min_size=1, max_size=30), st.lists(SEGMENTS, min_size=1, max_size=5))
def test_parse_and_str_are_inverse(trust_domain: str, segments: list[str]) -> None:
    text = f"spiffe://{trust_domain}/{'/'.join(segments)}"
    assert str(SpiffeId.parse(text)) == text


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_with_an_input_error(text: str) -> None:
    try:
        SpiffeId.parse(text)
    except InputError as refused:
        assert str(refused)
