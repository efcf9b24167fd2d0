"""The response's benchmark: what is timed from where, what is still to be done, what is shown."""

from pathlib import Path
from typing import Any

from benchmarks.response import by_bank, missing
from benchmarks.response_run import Run, deciding, findings_of
from benchmarks.response_table import append_figure, load_figures, table

RUN = Run(
    attack="scan", seed=0, found_ms=30.0, decided_ms=0.0, contained_ms=80.0, verified_ms=150.0,
    octets_after=0, arrivals_after=0, answered_after=0, requests=1000, failures=2,
    codes=("behaviour.new_edge",),
)  # fmt: skip


def found(time: int) -> dict[str, Any]:
    return {"kind": "found", "data": {"finding": {"time": time, "code": "behaviour.volume"}}}


def planned(playbook: str) -> dict[str, Any]:
    return {"kind": "planned", "data": {"playbook": playbook}}


def test_a_finding_that_comes_between_decision_and_cut_does_not_shorten_the_time() -> None:
    record = [found(5), planned("observe"), found(7), planned("full"), found(9)]
    assert deciding(record, since=0) == 7
    assert findings_of(record)[0] == (5, "behaviour.volume")


def test_what_nobody_acted_upon_was_not_decided() -> None:
    assert deciding([found(5), planned("observe"), found(9)], since=0) is None


def test_what_is_in_the_file_is_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert load_figures(path) == []
    append_figure(path, RUN)
    assert load_figures(path) == [RUN]
    todo = missing(["scan", "token-replay"], 2, load_figures(path))
    assert [(one.name, seed) for one, seed in todo] == [
        ("token-replay", 0), ("scan", 1), ("token-replay", 1),
    ]  # fmt: skip
    assert [len(group) for group in by_bank(todo)] == [1, 2]


def test_the_table_counts_what_was_not_cut_off_and_all_failures() -> None:
    observed = Run(attack="scan", seed=1, found_ms=50.0, requests=1000, failures=8)
    row = next(line for line in table([RUN, observed]).splitlines() if line.startswith("| scan"))
    assert "2 of 2 | 1 |" in row
    assert "150 / 150 ms" in row
    assert "10 of 2,000: 0.50%" in row
