"""Attacks that follow a false alarm about the same suspect: are they found all the same?

`python -m benchmarks.behaviour_pending [--seeds 5]`. On the banks of `behaviour_bank`: some minutes
before each attack its suspect does something odd and innocent that raises an alarm, once towards
somebody whom the attack does not touch, once on an edge that the attack uses. Only trials in which
the oddity did raise its alarm count.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.behaviour_bank import Bank, Trial, build_bank, judge
from meshwarden.behaviour import Model
from meshwarden.kernel import Call, calls_to_table
from meshwarden.lab.attacks import ATTACKS, Attack
from meshwarden.lab.attacks.model import chance_of
from meshwarden.lab.attacks.simulate import START, World, attack_calls

GAPS_MINUTES: Final = (10.0, 50.0, 180.0)
PLACES: Final = ("elsewhere", "same edge")
_MIRROR: Final = "external:packages.example"
_SECOND: Final = 1_000_000_000
_ODD: Final = 60
Key = tuple[str, str, float]


def oddity(hostile: pa.Table, place: str, begins: datetime) -> pa.Table:
    """Return a minute of innocent oddity by the source of `hostile`: an update, or a retry storm.

    Elsewhere it is packages that come from a mirror nobody ever called; on the same edge it is what
    the attack's first answered call is, without its body, again and again.
    """
    first = hostile.slice(_first_answered(hostile), 1)
    call = Call(
        time=int(begins.timestamp()) * _SECOND, source=first["source"][0].as_py(),
        destination=_MIRROR, protocol="http", method="GET", route="/packages/{}", status=200,
        request_bytes=0, response_bytes=200_000, duration=9_000_000, reporter="source",
    )  # fmt: skip
    if place == "same edge":
        call = replace(
            call, destination=first["destination"][0].as_py(), route="/healthz",
            response_bytes=20, mtls=True, reporter=first["reporter"][0].as_py(),
        )  # fmt: skip
    return calls_to_table([replace(call, time=call.time + k * _SECOND) for k in range(_ODD)])


def _first_answered(hostile: pa.Table) -> int:
    answered = np.flatnonzero(~np.asarray(pc.fill_null(hostile["denied"], True)))
    return int(answered[0]) if len(answered) else 0


def after_false_alarm(bank: Bank, attack: Attack, place: str, gap: float) -> Trial | None:
    """Return what came of `attack`, `gap` minutes after the oddity; None where that was quiet."""
    chance = chance_of(bank.seed, attack.name)
    begins = START + timedelta(days=bank.world.history_days, hours=chance.uniform(6.0, 14.0))
    hostile = attack_calls(attack, chance, begins)
    odd = oddity(hostile, place, begins - timedelta(minutes=gap))
    both = pa.concat_tables([bank.day, odd, hostile]).unify_dictionaries().combine_chunks()
    order = np.asarray(pc.sort_indices(both["time"]))
    calls, labels = both.take(pa.array(order)), order >= bank.day.num_rows + odd.num_rows
    before = (order >= bank.day.num_rows) & ~labels
    alert = Model.load(bank.learned).observe(calls).alert
    return judge(alert & ~before, calls, labels, days=1.0) if (alert & before).any() else None


def one_seed(seed: int, world: World) -> list[tuple[Key, bool]]:
    """Return which attacks on the bank of `seed` were found."""
    bank = build_bank(seed, world)
    return list(_trials(bank))


def _trials(bank: Bank) -> Iterator[tuple[Key, bool]]:
    for name, attack in ATTACKS.items():
        for place in PLACES:
            for gap in GAPS_MINUTES:
                trial = after_false_alarm(bank, attack, place, gap)
                if trial is not None:
                    yield (name, place, gap), trial.found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--customers", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    world = World(customers=options.customers)
    context = multiprocessing.get_context("spawn")
    found: dict[Key, list[bool]] = {}
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        jobs = [pool.submit(one_seed, seed, world) for seed in range(1, options.seeds + 1)]
        for job in jobs:
            for key, was in job.result():
                found.setdefault(key, []).append(was)
            print("a seed is done", file=sys.stderr)
    heads = [f"{place}, {gap:g} min" for place in PLACES for gap in GAPS_MINUTES]
    print(f"| attack | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name in ATTACKS:
        cells = [found.get((name, place, gap), []) for place in PLACES for gap in GAPS_MINUTES]
        print(f"| {name} | {' | '.join(f'{sum(c)} of {len(c)}' for c in cells)} |")


if __name__ == "__main__":
    main()
