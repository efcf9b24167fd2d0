"""What every store of findings does; run on the file store and on the fake."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.kernel import Contribution, Finding, FindingStore, Severity


class MemoryFindingStore:
    """The fake: findings in a list."""

    def __init__(self) -> None:
        self._found: list[Finding] = []

    def store_finding(self, finding: Finding) -> None:
        self._found.append(finding)

    def load_findings(self, *, limit: int = 1000) -> Iterable[Finding]:
        return self._found[-limit:] if limit else []


@pytest.fixture(params=["file", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FindingStore:
    made: dict[str, Callable[[], FindingStore]] = {
        "file": lambda: FileFindingStore(tmp_path / "findings.jsonl"),
        "fake": MemoryFindingStore,
    }
    return made[request.param]()


def _finding(time: int) -> Finding:
    return Finding(
        time=time,
        code="dataplane.nack",
        subject="ledger",
        severity=Severity.HIGH,
        sentence="line one\nline two \u2713",
        p_value=0.5,
        contributions=(Contribution(name="x", weight=1.0),),
        evidence=("a", "b"),
    )


def test_an_empty_store_has_no_findings(store: FindingStore) -> None:
    assert list(store.load_findings()) == []


def test_findings_come_back_as_they_were_oldest_first(store: FindingStore) -> None:
    for time in (3, 1, 2):
        store.store_finding(_finding(time))
    assert list(store.load_findings()) == [_finding(3), _finding(1), _finding(2)]


@pytest.mark.parametrize(("limit", "times"), [(0, []), (2, [2, 3]), (9, [1, 2, 3])])
def test_only_the_newest_are_loaded(store: FindingStore, limit: int, times: list[int]) -> None:
    for time in (1, 2, 3):
        store.store_finding(_finding(time))
    assert [finding.time for finding in store.load_findings(limit=limit)] == times
