"""How fast a response is: a real bank under load, attacked again and again; 1,000 at once.

    python -m benchmarks.response --attack all --runs 20 --results response.jsonl --minutes 7
    python -m benchmarks.response --table response.jsonl

Each run: an intruder's process in a compromised service does what the attack does; the watch finds
it, the playbook `full` cuts it off, proves that, keeps evidence, replaces it (`response_run` says
what is counted from where). One line is added to the file of results for each run that is over;
asked again, what is there already is not done again, so that hours can be measured in slices.
`--apart` measures what needs no bank: evidence of 200 MB, and 1,000 incidents at once.
"""

import argparse
import asyncio
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import structlog

from benchmarks.machine import describe_machine
from benchmarks.response_bank import learn, standing
from benchmarks.response_evidence import measure_evidence
from benchmarks.response_flood import measure_flood
from benchmarks.response_run import Run
from benchmarks.response_table import append_figure, load_figures, table
from meshwarden.kernel import DependencyError
from meshwarden.lab.attacks import ATTACKS, Attack

MIB = 1 << 20
MOST_VOID = 3
"""Runs in a row that came to nothing, after which the bank is not what it should be."""


def missing(names: Sequence[str], runs: int, done: Sequence[object]) -> list[tuple[Attack, int]]:
    """Return which attacks are still to be carried out, all of one seed before the next."""
    known = {(one.attack, one.seed) for one in done if isinstance(one, Run)}
    wanted = itertools.product(range(runs), names)
    return [(ATTACKS[name], seed) for seed, name in wanted if (name, seed) not in known]


def by_bank(todo: Sequence[tuple[Attack, int]]) -> Iterator[list[tuple[Attack, int]]]:
    """Yield what can be carried out on one standing bank: one whose policy is the same."""
    ordered = sorted(todo, key=lambda one: str(one[0].grants))
    for _, group in itertools.groupby(ordered, key=lambda one: one[0].grants):
        yield list(group)


async def measure(todo: Sequence[tuple[Attack, int]], results: Path, *, until: float) -> None:
    """Carry out attacks on one standing bank until all are done, or `until` (`time.monotonic`)."""
    learned = learn(results.with_suffix(".model"))
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        async with standing(Path(folder), learned, todo[0][0]) as bank:
            void = 0
            for attack, seed in todo:
                begin = time.monotonic()
                if begin > until or void >= MOST_VOID:
                    break
                try:
                    run = await bank.attacked(attack, seed)
                except DependencyError as error:  # the thief came away empty-handed
                    print(f"{attack.name} {seed}: {error}", file=sys.stderr)
                    run = None
                void = void + 1 if run is None else 0
                if run is not None:
                    append_figure(results, run)
                    took = time.monotonic() - begin
                    print(f"{took:.1f} s: {asdict(run)}", file=sys.stderr)
                    print(f"newest failures: {bank.load.report.failures}", file=sys.stderr)
                await bank.forget()
                print(f"forgotten after {time.monotonic() - begin:.1f} s", file=sys.stderr)


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attack", choices=["all", *ATTACKS], nargs="+", default=["all"])
    parser.add_argument("--runs", type=int, default=20, help="of each attack")
    parser.add_argument("--results", type=Path, help="file of results; added to")
    parser.add_argument("--minutes", type=float, default=600, help="begin no run after so long")
    parser.add_argument("--apart", action="store_true", help="measure what needs no bank")
    parser.add_argument("--table", type=Path, help="print the table of a file, measure nothing")
    options = parser.parse_args()
    if options.table is not None:
        print(table(load_figures(options.table)))
        return
    until = time.monotonic() + options.minutes * 60
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print("\n".join(f"{key}: {value}" for key, value in describe_machine().items()), "\n")
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        results = options.results or Path(folder) / "response.jsonl"
        if options.apart:
            append_figure(results, measure_evidence(200 * MIB))
            append_figure(results, asyncio.run(measure_flood(1000)))
        else:
            names = list(ATTACKS) if "all" in options.attack else options.attack
            for todo in by_bank(missing(names, options.runs, load_figures(results))):
                if time.monotonic() < until:
                    asyncio.run(measure(todo, results, until=until))
        print(table(load_figures(results)))


if __name__ == "__main__":
    main()
