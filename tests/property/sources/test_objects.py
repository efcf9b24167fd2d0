"""The fast parser of lines and the standard library's make the same of every line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwarden.adapters.sources.fields import parse_object
from meshwarden.kernel import InputError

_numbers = st.integers() | st.floats()
_values = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_odd = [
    b"", b'"', b"{", b"}", b"]", b",", b"\\", b"\\ud800", b"NaN", b"1e999", b"0", b"-", b"\x00",
    b"\x1f", b"\xff", b"\xed\xa0\x80", b" ", b"\xef\xbb\xbf", b'"a":1,"a":2,',
]  # fmt: skip
_edits = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(_odd)), max_size=3)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _by_the_library(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _ours(line: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(line)
    except InputError:
        return None


@given(st.dictionaries(st.text(), _values, max_size=6), st.booleans(), _edits)
def test_objects_and_what_is_nearly_one_are_read_as_by_the_standard_library(
    value: dict[str, Any], escape: bool, edits: list[tuple[int, bytes]]
) -> None:
    line = json.dumps(value, ensure_ascii=escape).encode(errors="surrogatepass")
    for at, octets in edits:
        line = line[:at] + octets + line[at + 1 :]
    assert repr(_ours(line)) == repr(_by_the_library(line))


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
        b'{"a":1' + b"0" * 5000 + b"}",
        b'{"a":1e400,"b":-0,"c":123456789012345678901234567890,"d":18446744073709551616}',
        b'{"a":"\\ud800","b":"\\ud83d\\ude00","a":2}',
        b'{"a":"\xed\xa0\x80"}',
    ],
)
def test_hostile_lines_are_read_or_refused_as_by_the_standard_library(line: bytes) -> None:
    assert repr(_ours(line)) == repr(_by_the_library(line))
