"""The same calls come back from every format: the record's parts, Parquet, CSV, gzipped CSV."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from meshwarden.adapters.storage.calls import load_calls
from meshwarden.adapters.storage.parts import PartWriter
from meshwarden.kernel import Call, calls_to_table

CALLS = calls_to_table(
    [
        Call(time=1_700_000_000_123_456_789, source="unknown", destination="spiffe://a.example/b",
             protocol="tcp", denied=True, rule="tls:expired", mtls=False, destination_port=5432,
             claimed="spiffe://a.example/c", reporter="destination"),
        Call(time=1_700_000_000_000_000_000, source="spiffe://a.example/c", mtls=True,
             destination="external:api.example", protocol="grpc", method="Get", route='/a "b"/{}',
             status=200, request_bytes=2**40, response_bytes=0, duration=987_654_321,
             reporter="source"),
    ]
)  # fmt: skip


def _parts(folder: Path) -> Path:
    writer = PartWriter(folder / "calls", max_bytes=10**9)
    for row in range(CALLS.num_rows):
        writer.store(CALLS.slice(row, 1), b"")
    writer.close()
    return folder / "calls"


def _parquet(folder: Path) -> Path:
    pq.write_table(CALLS, folder / "calls.parquet")
    return folder / "calls.parquet"


def _loose_parquet(folder: Path) -> Path:
    names = {
        "time": CALLS["time"].cast(pa.timestamp("ns")),
        "status": CALLS["status"].cast("int64"),
    }
    loose = {name: names.get(name, CALLS[name]) for name in CALLS.column_names}
    pq.write_table(pa.table(loose), folder / "loose.parquet")
    return folder / "loose.parquet"


def _csv(folder: Path) -> Path:
    columns = {name: _plain(CALLS[name]) for name in CALLS.column_names if name != "duration"}
    columns["duration_ns"] = CALLS["duration"].cast("int64")
    pa_csv.write_csv(pa.table(columns), folder / "calls.csv")
    return folder / "calls.csv"


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _gzipped(folder: Path) -> Path:
    path = folder / "calls.csv.gz"
    path.write_bytes(gzip.compress(_csv(folder).read_bytes()))
    return path


@pytest.mark.parametrize("store", [_parts, _parquet, _loose_parquet, _csv, _gzipped])
def test_calls_come_back_as_they_were(store: Callable[[Path], Path], tmp_path: Path) -> None:
    loaded = load_calls([store(tmp_path)])
    assert loaded.rejected == {}
    for name in CALLS.column_names:
        assert pc.all(_same(loaded.table[name], CALLS[name])).as_py(), name


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    one, other = _text(one), _text(other)
    both_null = pc.and_(pc.is_null(one), pc.is_null(other))
    return pc.or_(both_null, pc.fill_null(pc.equal(one, other), False))


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
