"""Calls from elsewhere: what is accepted, what becomes of names, what is refused and counted."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meshwarden.adapters.storage.calls import LoadedCalls, load_calls
from meshwarden.kernel import CALL_SCHEMA, InputError

HEAD = "time,source,destination,status,duration_ns,denied,protocol\n"


def _load(folder: Path, text: str) -> LoadedCalls:
    path = folder / "calls.csv"
    path.write_text(text, encoding="utf-8")
    return load_calls([path], trust_domain="mesh.example")


def _value(loaded: LoadedCalls, name: str) -> object:
    column = loaded.table[name]
    return column[0].value if name in {"time", "duration"} else column[0].as_py()


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456_789),
        ("2023-11-15T00:13:20.5+02:00", 1_700_000_000_500_000_000),
        ("2023-11-14t22:13:20z", 1_700_000_000_000_000_000),
    ],
)
def test_times_are_rfc_3339_or_nanoseconds(tmp_path: Path, text: str, nanoseconds: int) -> None:
    loaded = _load(tmp_path, f"{HEAD}{text},a,b,,,,\n")
    assert _value(loaded, "time") == nanoseconds


@pytest.mark.parametrize(
    ("name", "party"),
    [
        ("ledger", "spiffe://mesh.example/ledger"),
        ("ns/core/ledger", "spiffe://mesh.example/ns/core/ledger"),
        ("spiffe://a.example/b", "spiffe://a.example/b"),
        ("external:api.example", "external:api.example"),
        ("unknown", "unknown"),
        ("", "unknown"),
        ("pay ments", "spiffe://mesh.example/pay_20ments"),
    ],
)
def test_names_become_spiffe_ids(tmp_path: Path, name: str, party: str) -> None:
    loaded = _load(tmp_path, f"{HEAD}1,{name},b,,,,\n")
    assert _value(loaded, "source") == party


def test_integral_floats_and_absent_columns_are_accepted(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "time,source,destination,status\n1,a,b,200.0\n")
    assert _value(loaded, "status") == 200
    assert _value(loaded, "protocol") == "other"
    assert _value(loaded, "duration") is None
    assert _value(loaded, "denied") is False


def test_columns_that_nobody_knows_are_left_out_and_schemas_may_mix(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mood,time,source,destination,\x1b[2J\nbad,1,a,b,x\n")
    (tmp_path / "b.csv").write_text("destination,source,status,time\nb,a,200,2\n")
    table = pa.table({"time": [3], "source": ["a"], "destination": ["b"], "blob": [b"\xff"]})
    pq.write_table(table, tmp_path / "c.parquet")
    loaded = load_calls([tmp_path / name for name in ("a.csv", "b.csv", "c.parquet")])
    assert loaded.table.schema.equals(CALL_SCHEMA)
    assert loaded.table["status"].to_pylist() == [None, 200, None]
    assert loaded.rejected == {}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("yesterday,a,b,,,,", "time cannot be read"),
        (",a,b,,,,", "time cannot be read"),
        ("-5,a,b,,,,", "time cannot be read"),
        ("1,a,b,200.5,,,", "status cannot be read"),
        ("1,a,b,70000,,,", "status cannot be read"),
        ("1,a,b,,-1,,", "duration cannot be read"),
        ("1,a,b,,NaN,,", "duration cannot be read"),
        ("1,a,b,,,maybe,", "denied cannot be read"),
        ("1,a,b,,,,carrier pigeon", "protocol cannot be read"),
        ("1,spiffe://,b,,,,", "source cannot be read"),
        ("1,a,b", "wrong number of columns"),
    ],
)
def test_a_row_that_cannot_be_read_is_left_out_with_its_reason(
    tmp_path: Path, row: str, reason: str
) -> None:
    loaded = _load(tmp_path, f"{HEAD}1,a,b,,,,\n{row}\n2,c,d,,,,\n")
    assert loaded.rejected == {reason: 1}
    assert loaded.numbers.to_pylist() == [0, 2]
    assert loaded.examples == (f"{tmp_path / 'calls.csv'}, row 1: {reason}",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"time,source\n1,a\n"),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.csv.gz", b"no gzip"),
        ("a.csv.gz", gzip.compress(b"time,source,destination\n1,a,b\n", mtime=0)[:12]),
        ("a.csv", b"time,source,source,destination\n1,a,a,b\n"),
        ("a.parquet", b"no parquet"),
        ("a.txt", b"text"),
    ],
    ids=[
        "empty",
        "no column",
        "no UTF-8",
        "no gzip",
        "cut gzip",
        "twice",
        "no Parquet",
        "no format",
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        load_calls([path])
    assert refused.value.code == "calls.format"
    assert refused.value.where == str(path)


def test_a_missing_file_and_too_many_calls_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_calls([tmp_path / "none.csv"])
    path = tmp_path / "a.csv"
    path.write_text("time,source,destination\n1,a,b\n2,a,b\n")
    with pytest.raises(InputError, match="more than 1 calls"):
        load_calls([path], max_rows=1)


def test_a_column_that_comes_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,source,source,destination\n1,a,a,b\n")
    columns = [pa.array([1]), *(pa.array(["a"]) for _ in range(3))]
    names = ["time", "source", "destination", "destination"]
    pq.write_table(pa.Table.from_arrays(columns, names), tmp_path / "b.parquet")
    for name, column in (("a.csv", "source"), ("b.parquet", "destination")):
        with pytest.raises(InputError, match=f"column '{column}' comes twice"):
            load_calls([tmp_path / name])
    (tmp_path / "c.csv").write_text("time,x,source,x,destination\n1,,a,,b\n")
    assert load_calls([tmp_path / "c.csv"]).table.num_rows == 1  # what is not read may come twice


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'7,"a,b,,,,', "a quote that nothing closes"),
        (b'7,a,b,"",,,"', "a quote that nothing closes"),
        (b'7,a"b,"c,,,,', "a quote that nothing closes"),
        (b"7,a,b,,,,\r8,a,b,,,,", "a line break within a field"),
        (b"7,a,\xff,,,,", "not UTF-8"),
        (b"7,a," + b"b" * 3_000_000 + b",,,,", "longer than 65536 bytes"),
        (b"7,a," + b'"' * 70_000, "longer than 65536 bytes"),
        (b"\x1ano such reason", "a control character at its start"),
    ],
    ids=["open", "last", "after a quote within", "return", "octets", "giant", "quotes", "mark"],
)
def test_an_odd_row_takes_no_other_with_it(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "calls.csv"
    before, after = (b'%d,"a",b,,,,\n' % (n + 1) * 60_000 for n in range(2))
    path.write_bytes(HEAD.encode() + before + line + b"\n" + after)
    loaded = load_calls([path])
    assert (loaded.table.num_rows, loaded.rejected) == (120_000, {reason: 1})
    assert loaded.examples == (f"{path}, row 60000: {reason}",)
    assert loaded.numbers.to_pylist() == [*range(60_000), *range(60_001, 120_001)]


def test_quotes_within_a_field_are_data(tmp_path: Path) -> None:
    loaded = _load(tmp_path, 'time,source,destination,route\n1,a,b,"/a ""b"", c"\n2,a,b,/a"b\n')
    assert loaded.table["route"].to_pylist() == ['/a "b", c', '/a"b']


def test_packed_rows_are_read_up_to_the_damage(tmp_path: Path) -> None:
    rows = "".join(f"{n},a,b,,,,\n" for n in range(1, 30_001))
    packed = gzip.compress((HEAD + rows).encode(), mtime=0)
    path = tmp_path / "calls.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    cut = load_calls([path])
    assert 10_000 < cut.table.num_rows < 30_000
    assert cut.rejected == {"gzip ends early": 1}
    path.write_bytes(packed[:-8] + b"\0" * 8)
    wrong = load_calls([path])
    assert (wrong.table.num_rows, wrong.rejected) == (30_000, {"gzip is damaged": 1})


def test_rows_are_found_behind_blocks_that_hold_none(tmp_path: Path) -> None:
    loaded = _load(tmp_path, HEAD + '"\n' * 80_000 + "1,a,b,,,,\n" + "2,a\n" * 300_000)
    assert loaded.numbers.to_pylist() == [80_000]
    assert loaded.rejected == {
        "a quote that nothing closes": 80_000,
        "wrong number of columns": 300_000,
    }


def test_what_was_written_into_a_field_is_no_row_of_its_own(tmp_path: Path) -> None:
    row = '5,a,b,"/x\n6,evil,b,/y\n7,evil,b,""/z""\n"\n'
    loaded = _load(tmp_path, "time,source,destination,route\n1,a,b,/\n" + row + "8,a,b,/\n")
    assert loaded.rejected == {"a line break within a field": 1}
    assert loaded.numbers.to_pylist() == [0, 2]
    bad = row.replace("/x", "\udcff").encode(errors="surrogateescape")
    (tmp_path / "bad.csv").write_bytes(b"time,source,destination,route\n" + bad * 3 + b"8,a,b,")
    loaded = load_calls([tmp_path / "bad.csv"])
    assert (loaded.numbers.to_pylist(), sum(loaded.rejected.values())) == ([3], 3)
