"""CSV, whatever is in it: an odd row takes no other with it, and no field becomes a row."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwarden.adapters.storage.calls import read_csv

HEAD = b"time,source,destination\n"
TEXT = st.lists(st.sampled_from(['"', ",", "\n", "\r", "1,a,b", "a", " "]), max_size=9)
ODD = st.lists(st.sampled_from([b'"', b",", b"\r", b"\xff", b"1", b"a", b'"a"']), max_size=9)
LINES = st.lists(
    st.one_of(st.just(b'1,"a",b'), st.just(b'2,"a""",b\r'), ODD.map(b"".join)), max_size=12
)


def _read(chunks: Iterable[bytes]) -> list[str]:
    """Return the source of each row, its reason where it was left out, in their order."""
    found: dict[int, str] = {}
    for batch in read_csv(chunks, Path("calls.csv")):
        found |= zip(batch.numbers.to_pylist(), batch.table["source"].to_pylist(), strict=True)
        for reason, rows in batch.rejected.items():
            assert not found.keys() & set(rows)
            found |= dict.fromkeys(rows, reason)
    assert sorted(found) == list(range(len(found)))
    return [found[row] for row in sorted(found)]


def _cut(whole: bytes, size: int) -> Iterable[bytes]:
    return (whole[at : at + size] for at in range(0, len(whole), size))


@settings(deadline=None)
@given(lines=LINES, size=st.integers(1, 50))
def test_lines_whose_quotes_close_are_read_as_if_each_were_alone(
    lines: list[bytes], size: int
) -> None:
    alone = [row for line in lines for row in _read([HEAD, line])]
    if "a quote that nothing closes" not in alone:
        assert _read(_cut(HEAD + b"\n".join(lines), size)) == alone


@settings(deadline=None)
@given(lines=LINES, size=st.integers(1, 50))
def test_what_is_read_does_not_depend_on_where_chunks_are_cut(
    lines: list[bytes], size: int
) -> None:
    whole = HEAD + b"\n".join(lines)
    assert _read(_cut(whole, size)) == _read([whole])


@settings(deadline=None)
@given(names=st.lists(TEXT.map("".join), max_size=12), size=st.integers(1, 50))
def test_what_was_written_into_a_field_never_becomes_a_row(names: list[str], size: int) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(["1", f"x{name}x", "b"] for name in names)
    found = _read(_cut(HEAD + file.getvalue().encode(), size))
    assert len(found) == len(names)
    for name, row in zip(names, found, strict=True):
        assert (row == "a line break within a field") == ("\n" in name or "\r" in name)
