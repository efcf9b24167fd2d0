"""Labelled sets, and how scores are judged: incidents found, and false alerts per edge and hour."""

import csv
import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from meshwarden.adapters.storage.calls import load_calls

_HOUR = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Labelled:
    """Calls and what they are: label 1 attack, 0 benign, -1 ignored; class; incident."""

    table: pa.Table
    label: NDArray[np.int8]
    kind: NDArray[np.str_]
    incident: NDArray[np.str_]
    group: NDArray[np.int64]  # one number for each (source, destination, hour)

    @property
    def days(self) -> float:
        """Days with calls, or the part of a day that they span."""
        time = np.asarray(self.table["time"].cast(pa.int64()))
        span = float(time.max() - time.min()) / (24 * _HOUR)
        return float(len(np.unique(time // (24 * _HOUR)))) if span > 1 else max(span, 1 / 24)

    def part(self, which: slice) -> "Labelled":
        """Return some of the calls, in order."""
        start, stop, _ = which.indices(len(self.label))
        return Labelled(
            self.table.slice(start, stop - start),
            self.label[which],
            self.kind[which],
            self.incident[which],
            self.group[which],
        )


def data_folder() -> Path | None:
    """Return where the sets are: `MESHWARDEN_DATA`, or beside the repository; None if nowhere."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MESHWARDEN_DATA", beside))
    if not folder.is_dir():
        beside = Path(__file__).resolve().parents[3] / "shared" / "data"
        folder = Path(os.environ.get("MESHWARDEN_DATA", beside))
    return folder if folder.is_dir() else None


def load_labelled(folder: Path) -> Labelled:
    """Return one set."""
    table = load_calls([folder / "calls.csv.gz"]).table.combine_chunks()
    n = table.num_rows
    label, kind, incident = np.zeros(n, np.int8), np.full(n, "-", "U16"), np.full(n, "", "U40")
    labels = folder / "labels.csv.gz"
    if labels.exists():
        with gzip.open(labels, "rt") as file:
            for row in csv.DictReader(file):
                at = int(row["row"])
                label[at], kind[at] = int(row["label"]), row["class"]
                incident[at] = row["incident"]
    codes = [table[c].combine_chunks() for c in ("source", "destination")]
    source, destination = (
        np.asarray((c.chunk(0) if isinstance(c, pa.ChunkedArray) else c).indices, np.int64)
        for c in codes
    )
    hour = np.asarray(table["time"].cast(pa.int64())) // _HOUR
    group = np.unique(np.stack([source, destination, hour]), axis=1, return_inverse=True)[1]
    return Labelled(table, label, kind, incident, group.reshape(-1).astype(np.int64))


def judge(calls: Labelled, score: NDArray[Any], alert: NDArray[np.bool_]) -> dict[str, Any]:
    """Return false alerts and alarms a day, recall of incidents by class, and AUC."""
    benign = calls.label == 0
    false = len(np.unique(calls.group[alert & benign]))
    result: dict[str, Any] = {
        "false_per_day": round(false / calls.days, 2),
        "alarms_per_day": round(float((alert & (calls.label >= 0)).sum() / calls.days), 2),
    }
    recall = recall_by_class(calls, alert)
    if recall:
        quiet = [v for k, v in recall.items() if k != "flood"]
        result |= {"recall": recall, "mean_without_flood": round(float(np.mean(quiet)), 3)}
        result["auc"] = round(auc(score[calls.label >= 0], calls.label[calls.label >= 0] == 1), 4)
        quiet_rows = benign | ((calls.label == 1) & (calls.kind != "flood"))
        result["auc_without_flood"] = round(auc(score[quiet_rows], calls.label[quiet_rows] == 1), 4)
    return result


def came_true(calls: Labelled, score: NDArray[Any]) -> list[str]:
    """Return a row of a table for each score: how many benign groups as odd it foretells, and met.

    A score is -log10 of the groups a day that are at least as odd.
    """
    benign = calls.label == 0
    best = np.full(int(calls.group.max()) + 1, -np.inf)
    np.maximum.at(best, calls.group[benign], score[benign])
    return [
        f"| {least:g} | {10.0**-least * calls.days:,.2f} | {int((best >= least).sum()):,} |"
        for least in (-2, -1, 0, 1, 2, 4)
    ]


def judge_hindsight(calls: Labelled, score: NDArray[Any], budget: float) -> dict[str, Any]:
    """Return the same for the lowest threshold with at most `budget` false alerts a day."""
    benign = calls.label == 0
    best = np.full(int(calls.group.max()) + 1, -np.inf)
    np.maximum.at(best, calls.group[benign], score[benign])
    best = np.sort(best[np.isfinite(best)])[::-1]
    allowed = int(budget * calls.days)
    threshold = best[allowed] if allowed < len(best) else -np.inf
    return judge(calls, score, score > threshold)


def recall_by_class(calls: Labelled, hit: NDArray[np.bool_]) -> dict[str, float]:
    """Return by class the share of incidents of which some call is hit."""
    attack = calls.label == 1
    recall = {}
    for kind in np.unique(calls.kind[attack]).tolist():
        of_kind = attack & (calls.kind == kind)
        found = len(np.unique(calls.incident[of_kind & hit]))
        recall[kind] = round(found / len(np.unique(calls.incident[of_kind])), 3)
    return recall


def incident_rows(
    calls: Labelled, score: NDArray[Any], alert: NDArray[np.bool_], channel: Sequence[str]
) -> list[str]:
    """Return a row of a table for each incident: at which of its calls it was found, and by what.

    Where it was not, the call that stood out most, the channel that spoke there, and its score.
    """
    attack = calls.label == 1
    rows = []
    for name in np.unique(calls.incident[attack]).tolist():
        its = np.flatnonzero(attack & (calls.incident == name))
        hits = its[alert[its]]
        at = hits[0] if len(hits) else its[np.argmax(score[its])]
        found = f"at call {np.searchsorted(its, at) + 1:,}" if len(hits) else "no"
        said = f"{channel[at] or '-'} | {score[at]:.2f}"
        rows.append(f"| {calls.kind[at]} | {name} | {len(its):,} | {found} | {said} |")
    return sorted(rows)


def auc(score: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, ties shared; nan where a class is empty."""
    if not positive.any() or positive.all():
        return float("nan")
    values, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    del values
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))
