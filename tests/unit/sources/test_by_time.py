"""Calls of a file in the order of time, span by span."""

from pathlib import Path

import numpy as np
import pytest
from tests.behaviour_world import START, call, table

from meshwarden.adapters.storage.by_time import read_by_time
from meshwarden.adapters.storage.parquet_file import ParquetFile
from meshwarden.kernel import CALL_SCHEMA


def _file(path: Path, times: list[int]) -> Path:
    file = ParquetFile(path)
    calls = table(call(START + time, "s0", "s1", request_bytes=k) for k, time in enumerate(times))
    for batch in calls.to_batches(max_chunksize=7):
        file.write(batch)
    file.commit()
    return path


@pytest.mark.parametrize("rows", [1, 3, 10, 1000])
def test_calls_come_by_time_and_those_of_one_time_as_they_stand(tmp_path: Path, rows: int) -> None:
    times = np.random.default_rng(1).integers(0, 20, 60).tolist()
    tables = list(read_by_time(_file(tmp_path / "calls.parquet", times), rows=rows))
    found = [(t, n) for part in tables for t, n in zip(
        part["time"].cast("int64").to_pylist(), part["request_bytes"].to_pylist(), strict=True
    )]  # fmt: skip
    assert found == sorted((START + time, k) for k, time in enumerate(times))
    assert all(part.schema.equals(CALL_SCHEMA) for part in tables)
    assert rows < 1000 or len(tables) == 1


def test_no_calls_are_no_tables(tmp_path: Path) -> None:
    assert list(read_by_time(_file(tmp_path / "calls.parquet", []))) == []
