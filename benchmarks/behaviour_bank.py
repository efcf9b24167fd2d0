"""How well attacks on the bank are found, on simulated calls: every attack, many seeds.

`python -m benchmarks.behaviour_bank [--seeds 20] [--first 1] [--json]`. Each seed is another bank:
quiet days are learned once, then each attack hides in the day after them. The budget is one false
alarm a day; what it came to is measured on the same days. Found means: an alarm on a call of the
attack, or on its suspect while it lasts. Times are the bank's own, and count from the first hostile
call. Seeds 1 to 20 were looked at while the model was built, 101 to 140 after it was done.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from meshwarden.behaviour import Model, Settings
from meshwarden.control.watching.declared import DeclaredPolicy
from meshwarden.kernel import Finding
from meshwarden.lab.attacks import ATTACKS, Attack
from meshwarden.lab.attacks.credentials import MISUSES, simulated_misuse
from meshwarden.lab.attacks.drift import released_days
from meshwarden.lab.attacks.exfiltration import SLOW_ATTACK, ramp_plan, slow_plan
from meshwarden.lab.attacks.model import chance_of
from meshwarden.lab.attacks.simulate import (
    START,
    World,
    attack_calls,
    merged,
    simulated_calls,
)
from meshwarden.response import probability_of

DAY_NS: Final = 86_400_000_000_000
AFTER_NS: Final = 600_000_000_000  # an alarm so long after the last hostile call still is about it
CURVE: Final = ((1_500, 1.0), (600, 1.0), (300, 1.0), (150, 1.0), (1_500, 0.1), (300, 0.1))
RAMP_DAYS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attack on one bank.

    Attributes:
        found: whether it was.
        calls, seconds, octets: hostile ones, and time, until then; None where it was not found.
        false_alarms: alarms about anything else.
        days: that these were measured on.
        probability: at the end, that the suspect is compromised, by all that was told of it.
        others: the highest such probability of anybody else.
    """

    found: bool
    calls: int | None
    seconds: float | None
    octets: int | None
    false_alarms: int
    days: float
    probability: float = 0.0
    others: float = 0.0


def judge(
    alert: NDArray[np.bool_], calls: pa.Table, labels: NDArray[np.bool_], *, days: float
) -> Trial:
    """Say what came of the attack in `calls`, where these alarms were raised."""
    alerts = np.flatnonzero(alert)
    time = calls["time"].cast(pa.int64()).to_numpy()
    hostile = np.flatnonzero(labels)
    source = np.asarray(calls["source"].cast(pa.string()))
    begin, end = time[hostile[0]], time[hostile[-1]] + AFTER_NS
    about = [
        row for row in alerts
        if labels[row] or (source[row] == source[hostile[0]] and begin <= time[row] <= end)
    ]  # fmt: skip
    false = len(alerts) - len(about)
    if not about:
        return Trial(
            found=False, calls=None, seconds=None, octets=None, false_alarms=false, days=days
        )
    until = hostile[hostile <= about[0]]
    octets = np.asarray(pc.fill_null(calls["request_bytes"], 0))
    return Trial(
        found=True, calls=len(until), seconds=float(time[about[0]] - begin) / 1e9,
        octets=int(octets[until].sum()), false_alarms=false, days=days,
    )  # fmt: skip


def weigh(
    trial: Trial, findings: Sequence[Finding], calls: pa.Table, labels: NDArray[np.bool_]
) -> Trial:
    """Return `trial` with how sure the findings make of the suspect, and of anybody else.

    An incident is about one identity, from its first finding on; here all of a day are one.
    """
    hostile = np.flatnonzero(labels)
    suspect = str(calls["source"][int(hostile[0])].as_py())
    begin, end = (int(calls["time"][int(row)].value) for row in (hostile[0], hostile[-1]))
    by: dict[str, list[Finding]] = {}
    for one in findings:
        due = one.subject == suspect and begin <= one.time <= end + AFTER_NS
        by.setdefault("" if due else one.subject, []).append(one)
    of_suspect = probability_of(by.pop("", []))
    by.pop(suspect, None)  # long before, or after
    others = max((probability_of(each) for each in by.values()), default=0.0)
    return replace(trial, probability=of_suspect, others=others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """One seed's bank: what was learned of its quiet days, and the quiet day after them."""

    seed: int
    learned: bytes
    day: pa.Table
    world: World

    def attacked(self, attack: Attack, *, lasts_s: float | None = None) -> Trial:
        """Return what came of `attack`, begun at some hour of the day."""
        chance = chance_of(self.seed, attack.name)
        begins = START + timedelta(days=self.world.history_days, hours=chance.uniform(1.0, 14.0))
        calls, labels = merged(self.day, attack_calls(attack, chance, begins, lasts_s=lasts_s))
        scored = Model.load(self.learned).observe(calls)
        trial = judge(scored.alert, calls, labels, days=1.0)
        return weigh(trial, scored.findings, calls, labels)


def warmed(world: World) -> Settings:
    """Return settings under which the quiet days are warm-up: nobody reads their alarms."""
    return Settings(warm_up_minutes=world.history_days * 1440)


def build_bank(seed: int, world: World) -> Bank:
    """Return the bank of `seed`."""
    quiet = simulated_calls(seed, world)
    end = int((START + timedelta(days=world.history_days)).timestamp()) * 1_000_000_000
    before = pc.less(quiet["time"].cast(pa.int64()), end)
    model = Model(warmed(world))
    model.observe(quiet.filter(before))
    return Bank(seed=seed, learned=model.save(), day=quiet.filter(pc.invert(before)), world=world)


def misused(name: str, seed: int, world: World) -> Trial:
    """Return what came of a misused credential."""
    calls, labels = simulated_misuse(name, seed, world)
    start = int((START + timedelta(days=world.history_days)).timestamp()) * 1_000_000_000
    time = calls["time"].cast(pa.int64()).to_numpy()
    model = Model(warmed(world))
    model.observe(calls.filter(pa.array(time < start)))
    day = calls.filter(pa.array(time >= start))
    return judge(model.observe(day).alert, day, labels[time >= start], days=1.0)


def ramped(seed: int, world: World) -> Trial:
    """Return what came of slow exfiltration that takes ten days to reach its full size."""
    lasts_s = RAMP_DAYS * 86_400 / 60
    attack = replace(SLOW_ATTACK, name="poisoning", plan=ramp_plan)
    longer = replace(world, lasts_s=lasts_s)
    quiet = simulated_calls(seed, longer, days=RAMP_DAYS + 1)
    hostile = attack_calls(
        attack, chance_of(seed, attack.name), START + timedelta(days=world.history_days),
        lasts_s=lasts_s,
    )  # fmt: skip
    calls, labels = merged(quiet, hostile)
    alert = Model(warmed(world)).observe(calls).alert
    return judge(alert, calls, labels, days=RAMP_DAYS)


def release_alarms(seed: int, world: World) -> tuple[int, int]:
    """Return the alarms over ten days of ten rolling releases: on their new edges, and others.

    Each release brings an edge that the policy declares.
    """
    quiet, released, declared = released_days(seed, world)
    model = Model(warmed(world), declared=DeclaredPolicy(declared))
    model.observe(quiet)
    alert = pa.array(model.observe(released).alert)
    new = pc.match_substring(pc.fill_null(released["rule"].cast(pa.string()), ""), "[new]")
    on_new = int(pc.sum(pc.and_(alert, new.combine_chunks())).as_py())
    return on_new, int(pc.sum(alert).as_py()) - on_new


def variants() -> Iterator[tuple[str, Attack, float | None]]:
    """Yield every attack, then slow exfiltration by difficulty: name, attack, its seconds."""
    for name, attack in ATTACKS.items():
        yield name, attack, None
    for octets, per_s in CURVE:
        plan = partial(slow_plan, octets=octets, per_s=per_s)
        name = f"slow-exfiltration, {octets:,} octets {per_s * 60:g} times an hour"
        yield name, replace(SLOW_ATTACK, plan=plan), 480


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one seed: trials by attack, the alarms over its releases, its quiet day.

    Of the quiet day: alarms, how often an incident grew, and the highest probability of anybody.
    """

    trials: dict[str, Trial]
    releases: tuple[int, int]
    quiet: tuple[int, int, float]


def one_seed(seed: int, world: World) -> Outcome:
    """Return what came of every attack on the bank of `seed`, and of ten days of releases."""
    bank = build_bank(seed, world)
    trials = {name: bank.attacked(attack, lasts_s=s) for name, attack, s in variants()}
    trials |= {name: misused(name, seed, world) for name in MISUSES}
    trials["poisoning: slow exfiltration, ramped over 10 days"] = ramped(seed, world)
    releases = release_alarms(seed, world)
    print(f"seed {seed} done", file=sys.stderr)
    return Outcome(trials=trials, releases=releases, quiet=quiet_day(bank))


def quiet_day(bank: Bank) -> tuple[int, int, float]:
    """Return alarms, growth and the highest probability of anybody where nobody attacks."""
    scored = Model.load(bank.learned).observe(bank.day)
    by: dict[str, list[Finding]] = {}
    for one in scored.findings:
        by.setdefault(one.subject, []).append(one)
    alarms = int(scored.alert.sum())
    highest = max((probability_of(each) for each in by.values()), default=0.0)
    return alarms, len(scored.findings) - alarms, highest


def run(seeds: range, world: World, *, processes: int) -> list[Outcome]:
    """Return what came of each seed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        jobs = [pool.submit(one_seed, seed, world) for seed in seeds]
        return [job.result() for job in jobs]


def by_attack(outcomes: Sequence[Outcome]) -> dict[str, list[Trial]]:
    """Return the trials of every attack."""
    trials: dict[str, list[Trial]] = {}
    for outcome in outcomes:
        for name, trial in outcome.trials.items():
            trials.setdefault(name, []).append(trial)
    return trials


def table(trials: dict[str, list[Trial]]) -> str:
    """Return the figures, one attack a line."""
    lines = [
        "| attack | found | false alarms a day | calls, median / p90 | seconds | octets"
        " | slowed down, cut off | others, at most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, each in trials.items():
        found = [trial for trial in each if trial.found]
        false = sum(trial.false_alarms for trial in each) / sum(trial.days for trial in each)
        figures = [
            _quantiles([float(getattr(trial, column) or 0) for trial in found])
            for column in ("calls", "seconds", "octets")
        ]
        lines.append(
            f"| {name} | {len(found)} of {len(each)} | {false:.2f} | {' | '.join(figures)}"
            f" | {_sure(each)} |"
        )
    return "\n".join(lines)


def _sure(trials: Sequence[Trial]) -> str:
    """Return in how many trials `throttle` and `full` would act, and the surest of an innocent.

    Blank where that was not looked at.
    """
    if not any(trial.probability for trial in trials):
        return " | "
    slowed, cut = (sum(trial.probability >= least for trial in trials) for least in (0.5, 0.9))
    return f"{slowed}, {cut} | {max(trial.others for trial in trials):.2f}"


def _quantiles(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{np.median(values):,.0f} / {np.quantile(values, 0.9):,.0f}"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many banks")
    parser.add_argument("--first", type=int, default=1, help="the first one's seed")
    parser.add_argument("--customers", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    world = World(customers=options.customers)
    seeds = range(options.first, options.first + options.seeds)
    outcomes = run(seeds, world, processes=options.processes)
    if options.json:
        print(json.dumps([describe_machine(), [asdict(each) for each in outcomes]]))
        return
    print("\n".join(f"{key}: {value}" for key, value in describe_machine().items()), "\n")
    print(table(by_attack(outcomes)))
    alarms, grown, highest = zip(*(each.quiet for each in outcomes), strict=True)
    print(
        f"\nquiet days: {sum(alarms) / len(alarms):.2f} alarms and {sum(grown) / len(grown):.2f}"
        f" times that an incident grew a day; highest probability of anybody {max(highest):.2f}"
    )
    releases = [each.releases for each in outcomes]
    print(f"ten days with ten releases: alarms on their new edges, others: {releases}")


if __name__ == "__main__":
    main()
