"""How well, how fast: the behaviour model and its peers on labelled traffic, in one process.

    python -m benchmarks.behaviour [--quick] [--only SET] [--incidents]

Reads the sets of `MESHWARDEN_DATA` (or ../shared/data beside the repository); without them, or for
peers that are not installed (river, pysad), says so and goes on. Peers have no threshold of their
own: theirs is set with hindsight at the same number of false alerts a day, which flatters them.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from benchmarks.behaviour_data import (
    Labelled,
    came_true,
    data_folder,
    incident_rows,
    judge,
    judge_hindsight,
    load_labelled,
)
from benchmarks.behaviour_peers import PEERS
from benchmarks.behaviour_streams import STREAMS
from meshwarden.behaviour import Model, Settings

SETS = (
    ("darpa98-june", 10.0),
    ("apt29-day1", 1.0),
    ("scan-002", 1.0),
    ("nezha-2022-08-22", 1.0),
    ("nezha-2023-01-29", 1.0),
    ("host-008", 1.0),
    ("assuremoss-first20", 1.0),
)
ROUNDS = 5


def main() -> None:
    """Print one table per set, the halves of June, and the speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the slow peers")
    parser.add_argument("--only", choices=[name for name, _ in SETS], help="one set alone")
    parser.add_argument("--incidents", action="store_true", help="what came of each incident")
    options = parser.parse_args()
    folder = data_folder()
    if folder is None:
        print("no data: set MESHWARDEN_DATA; only speed is measured")
        _speed(_synthetic())
        return
    for name, budget in SETS:
        if options.only in {None, name}:
            _one(name, budget, load_labelled(folder / name), options)


def _one(name: str, budget: float, calls: Labelled, options: argparse.Namespace) -> None:
    print(f"\n## {name}: {len(calls.label):,} calls, {calls.days:.2f} days, budget {budget:g}")
    scored = Model(Settings(false_alarms_per_day=budget)).observe(calls.table)
    print("meshwarden, own threshold:", judge(calls, scored.score, scored.alert))
    if options.incidents and (calls.label == 1).any():
        print("| class | incident | calls | found | channel | score |\n|---|---|---|---|---|---|")
        print("\n".join(incident_rows(calls, scored.score, scored.alert, scored.channel)))
    print("| score | benign groups foretold | met |\n|---|---|---|")
    print("\n".join(came_true(calls, scored.score)))
    for peer, score in _peers(quick=options.quick).items():
        outcome = score(calls)
        told = "not installed" if outcome is None else judge_hindsight(calls, outcome, budget)
        print(f"{peer}, threshold with hindsight:", told, flush=True)
    if name == "darpa98-june":
        _halves(calls, budget)
        _speed(calls.table)


def _peers(*, quick: bool) -> dict[str, Callable[[Labelled], np.ndarray | None]]:
    return {name: peer for name, peer in PEERS.items() if not (quick and name in STREAMS)}


def _halves(calls: Labelled, budget: float) -> None:
    """Judge each half with the model begun at its start: nothing of the other half is used."""
    middle = len(calls.label) // 2
    for word, part in (("first", slice(0, middle)), ("second", slice(middle, None))):
        half = calls.part(part)
        scored = Model(Settings(false_alarms_per_day=budget)).observe(half.table)
        print(f"{word} half alone:", judge(half, scored.score, scored.alert))


def _speed(table: pa.Table) -> None:
    rates = []
    Model().observe(table[:5000])
    for _ in range(ROUNDS):
        model, begin = Model(), time.process_time()
        model.observe(table)
        rates.append(table.num_rows / (time.process_time() - begin))
    print(
        f"speed: median {np.median(rates):,.0f} calls per second of processor time"
        f" ({min(rates):,.0f} to {max(rates):,.0f}, {ROUNDS} rounds, one thread)"
    )


def _synthetic() -> pa.Table:
    from tests.behaviour_world import table, traffic  # noqa: PLC0415  # only without data

    return table(traffic(24, rate=500.0))


if __name__ == "__main__":
    main()
