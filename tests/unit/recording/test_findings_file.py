"""The file of findings: torn lines, bounded size, a disk that refuses."""

from pathlib import Path

import pytest

from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.kernel import DependencyError, Finding, Severity


def _finding(time: int) -> Finding:
    return Finding(time=time, code="a.b", subject="s", severity=Severity.LOW, sentence="x" * 50)


def _times(store: FileFindingStore) -> list[int]:
    return [finding.time for finding in store.load_findings()]


def test_a_torn_last_line_is_skipped_and_closed_off(tmp_path: Path) -> None:
    store = FileFindingStore(tmp_path / "f.jsonl")
    store.store_finding(_finding(1))
    with (tmp_path / "f.jsonl").open("ab") as file:
        file.write(b'{"time": 2, "co')
    assert _times(store) == [1]
    store.store_finding(_finding(3))
    assert _times(store) == [1, 3]


def test_two_files_bound_what_is_kept(tmp_path: Path) -> None:
    store = FileFindingStore(tmp_path / "f.jsonl", max_bytes=600)
    for time in range(20):
        store.store_finding(_finding(time))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1600
    assert _times(store)[-1] == 19
    assert _times(store) == sorted(_times(store))


def test_a_place_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    store = FileFindingStore(tmp_path / "missing" / "f.jsonl")
    with pytest.raises(DependencyError, match=r"f\.jsonl"):
        store.store_finding(_finding(1))
