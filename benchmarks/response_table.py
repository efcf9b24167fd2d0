"""Runs of the response's benchmark as lines of a file, and as the tables that the pages show."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.response_evidence import Evidence
from benchmarks.response_flood import Flood
from benchmarks.response_run import Run
from meshwarden.lab.attacks import ATTACKS

Figure = Run | Evidence | Flood
_KINDS: dict[str, Callable[..., Figure]] = {"run": Run, "evidence": Evidence, "flood": Flood}
_HEAD = (
    "attack", "found", "cut off", "first call to found", "found to acted upon",
    "acted upon to contained", "to contained and verified", "octets out until contained, most",
    "octets, arrivals, answers after", "evidence", "replaced", "customers' requests that failed",
)  # fmt: skip


def append_figure(path: Path, figure: Figure) -> None:
    """Add one line to the file `path`."""
    kind = type(figure).__name__.lower()
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": kind, **asdict(figure)}) + "\n")


def load_figures(path: Path) -> list[Figure]:
    """Return what is in the file so far; nothing where there is none."""
    if not path.exists():
        return []
    return [_parse(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _parse(line: dict[str, Any]) -> Figure:
    kind = _KINDS[line.pop("kind")]
    return kind(
        **{name: tuple(one) if isinstance(one, list) else one for name, one in line.items()}
    )


def table(figures: Sequence[Figure]) -> str:
    """Return the figures by attack, and of all attacks together, as Markdown."""
    runs = [one for one in figures if isinstance(one, Run)]
    rows = [_row(name, [one for one in runs if one.attack == name]) for name in ATTACKS]
    shown = [row for row in rows if row] + ([_row("all", runs)] if runs else [])
    lines = [_line(_HEAD), "|---" * len(_HEAD) + "|", *map(_line, shown)]
    return "\n".join([*lines, "", *_apart(figures)])


def _row(name: str, runs: Sequence[Run]) -> Sequence[str]:
    if not runs:
        return ()
    acted = [one for one in runs if one.acted]
    failures, requests = sum(one.failures for one in runs), sum(one.requests for one in runs)
    after = [
        sum(value or 0 for value in values)
        for values in zip(
            *((one.octets_after, one.arrivals_after, one.answered_after) for one in acted),
            strict=True,
        )
    ]
    return (
        name,
        f"{sum(one.found for one in runs)} of {len(runs)}",
        f"{len(acted)}",
        _ms(one.found_ms for one in runs),
        _ms(one.decided_ms for one in runs),
        _ms(one.contained_ms for one in runs),
        _ms(one.verified_ms for one in runs),
        f"{max((one.octets_between or 0 for one in acted), default=0):,}" if acted else "-",
        ", ".join(f"{one:,}" for one in after) if acted else "-",
        _ms(one.evidence_ms for one in runs),
        _ms(one.replace_ms for one in runs),
        f"{failures} of {requests:,}: {failures / max(1, requests):.2%}",
    )


def _apart(figures: Sequence[Figure]) -> list[str]:
    found = []
    for one in figures:
        if isinstance(one, Evidence):
            found.append(f"evidence of {one.resident >> 20} MiB resident: {one.seconds:.1f} s")
        if isinstance(one, Flood):
            found.append(
                f"{one.incidents:,} incidents at once (simulated): {one.seconds:.1f} s,"
                f" {one.grown_mib:.0f} MiB, at most {one.at_once} contained of {one.allowed}"
                f" allowed, {one.done} done, {one.held_back} held back"
            )
    return found


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ms(values: Iterable[float | None]) -> str:
    known = [one for one in values if one is not None]
    if not known:
        return "-"
    return f"{np.quantile(known, 0.5):,.0f} / {np.quantile(known, 0.99):,.0f} ms"
