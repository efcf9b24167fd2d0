"""CSV, whatever is in it: a row ends with its line, and no line takes another with it."""

from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from meshwarden.adapters.storage.calls import read_csv

HEAD = b"time,source,destination\n"
ODD = st.lists(st.sampled_from([b'"', b",", b"\r", b"\xff", b"1", b"a", b'"a"']), max_size=9)
LINES = st.lists(st.one_of(st.just(b'1,"a",b'), st.just(b'2,"a""",b\r'), ODD.map(b"".join)))


def _read(chunks: Iterable[bytes]) -> list[str | None]:
    """Return the source of each row, its reason where it was left out, in their order."""
    found: dict[int, str | None] = {}
    for batch in read_csv(chunks, Path("calls.csv")):
        found |= zip(batch.numbers.to_pylist(), batch.table["source"].to_pylist(), strict=True)
        for reason, rows in batch.rejected.items():
            assert not found.keys() & set(rows)
            found |= dict.fromkeys(rows, reason)
    assert sorted(found) == list(range(len(found)))
    return [found[row] for row in sorted(found)]


@given(lines=LINES, size=st.integers(1, 50))
def test_each_line_is_read_as_if_it_were_alone(lines: list[bytes], size: int) -> None:
    whole = HEAD + b"\n".join(lines)
    alone = [row for line in lines for row in _read([HEAD, line])]
    assert _read(whole[at : at + size] for at in range(0, len(whole), size)) == alone
