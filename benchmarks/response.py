"""How fast a response is: a real bank under load, attacked again and again; 1,000 at once.

    python -m benchmarks.response --runs 20

Each run: an intruder's process in payments really uploads data to a listed outside host; the watch
finds it, the playbook `full` cuts it off, proves that, keeps evidence, replaces it. Times are those
of the incident's record; octets are what the card network received; failures are what customers
saw, whoever caused them. Runs that the watch did not find are counted, and left out of the
times. Evidence of 200 MB and the 1,000 incidents are measured apart, without a bank.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from benchmarks.machine import describe_machine
from benchmarks.response_evidence import Evidence, measure_evidence
from benchmarks.response_flood import Flood, measure_flood
from meshwarden.adapters.clock import SystemClock
from meshwarden.control.layout import BEHAVIOUR_STATE, CONTROL_PLANE
from meshwarden.control.watching import Pace
from meshwarden.kernel import DependencyError
from meshwarden.lab.answer import Answer, Fared, follow
from meshwarden.lab.attacks import ATTACKS
from meshwarden.lab.attacks.siege import lay_siege
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.bank.ledger_db import find_binaries
from meshwarden.lab.demo import SPEED, START, customer_model
from meshwarden.lab.history import learn_history
from meshwarden.lab.load import Load
from meshwarden.lab.stage import CUSTOMERS, SEED, Stage, staged

ATTACK_S = 4.0
APART_S = 3.0
RAILS = """\
apiVersion: meshwarden.dev/v1
guard_rails: {max_actions_per_hour: 10000}
"""
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attack: times in milliseconds from `found` on, octets as they arrived outside."""

    contained_ms: float
    verified_ms: float
    evidence_ms: float
    replace_ms: float
    recovered_ms: float
    octets_found_to_contained: int
    octets_after: int
    requests: int
    failures: int


def _now_ns() -> int:
    return int(SystemClock().now().timestamp() * 1_000_000) * 1000


async def measure(runs: int) -> tuple[list[Run], int]:
    """Return the runs that were found and over, and how many there were in all."""
    model = customer_model()
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        state = Path(folder)
        learn_history(
            state / BEHAVIOUR_STATE, model, until=START, days=7, seed=1,
            postgres=find_binaries() is not None,
        )  # fmt: skip
        async with staged(
            state, environment=os.environ, playbooks=("full", "observe"), guard_rails=RAILS
        ) as stage:
            load = Load(stage.edge, model=model, directory=Directory(SEED, CUSTOMERS))
            timeline = model.timeline(start=START, span_s=3600 * SPEED)
            learned = (state / BEHAVIOUR_STATE).read_bytes()
            await _pace(stage)
            loading = asyncio.create_task(load.run(timeline.actions(), speed=SPEED))
            await asyncio.wait({loading}, timeout=2 * APART_S)
            found = []
            for number in range(runs):
                found.append(await _attacked(stage, load, number))
                await _forget(stage, learned)
            loading.cancel()
            await asyncio.wait({loading})
    return [one for one in found if one is not None], runs


async def _pace(stage: Stage) -> None:
    await stage.watch_ready()
    shows = int(START.timestamp()) * 10**9
    await stage.set_pace(Pace(at=_now_ns(), shows=shows, speed=SPEED))


async def _forget(stage: Stage, learned: bytes) -> None:
    """Have the watch know of no attack before: the next one shall be found by the same sign.

    The control plane is killed and started again; the bank serves on meanwhile.
    """
    control_plane = stage.supervisor.pids[CONTROL_PLANE]
    os.kill(control_plane, signal.SIGKILL)
    stage.layout.behaviour.write_bytes(learned)
    while stage.supervisor.pids.get(CONTROL_PLANE) in {control_plane, None}:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    while True:
        with contextlib.suppress(DependencyError):
            await _pace(stage)
            break
        await asyncio.sleep(0.2)
    await asyncio.sleep(APART_S)


async def _attacked(stage: Stage, load: Load, number: int) -> Run | None:
    before, began = Fared.so_far(load.report), _now_ns()
    siege = await lay_siege(
        stage,
        ATTACKS["exfiltration"],
        seconds=ATTACK_S,
        seed=number,
        failed_customers=lambda: load.report.total.failed,
        now_ns=_now_ns,
    )
    answer = await follow(stage, siege.suspect, since=began, report=load.report, before=before)
    if answer is None or not answer.recovered or _ns(answer.incident["contained"]) < began:
        state = answer.incident["state"] if answer else "not found"
        print(f"run {number}: {state}", file=sys.stderr)
        return None
    run = _figures(answer, await stage.received())
    print(f"run {number}: {asdict(run)}", file=sys.stderr)
    await stage.close_incident(answer.incident["id"])
    return run


def _figures(answer: Answer, received: Mapping[str, Any]) -> Run:
    incident = answer.incident
    record = incident["record"]
    contained_at = _ns(incident["contained"])
    told = [one["data"]["finding"]["time"] for one in record if one["kind"] == "found"]
    found = max(int(time) for time in told if int(time) <= contained_at)
    contained = _ns(incident["contained"])
    between = [octets for at, octets in received["arrivals"] if found < at * 1e9 <= contained]

    def _took(action: str) -> float:
        started, ended = answer.when("started", action), answer.when("verified", action)
        return (_ns(ended) - _ns(started)) / 1e6 if started and ended else float("nan")

    return Run(
        contained_ms=(contained - found) / 1e6,
        verified_ms=(_ns(incident["verified"]) - found) / 1e6,
        evidence_ms=_took("snapshot"),
        replace_ms=_took("replace"),
        recovered_ms=(_ns(incident["recovered"]) - found) / 1e6,
        octets_found_to_contained=sum(between),
        octets_after=answer.octets_after or 0,
        requests=answer.fared.requests,
        failures=answer.fared.failures,
    )


def _ns(text: str | None) -> int:
    whole, _, rest = (text or "").removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(rest or 0)


def table(runs: Sequence[Run], tried: int, evidence: Evidence, flood: Flood) -> str:
    """Return the figures as they stand in the README."""
    failures = sum(one.failures for one in runs)
    requests = sum(one.requests for one in runs)
    rows = [
        ("found to contained", _quantiles([one.contained_ms for one in runs], "ms")),
        (
            "found to contained and verified (target: 300 ms / 1 s)",
            _quantiles([one.verified_ms for one in runs], "ms"),
        ),
        ("evidence, as it came (target: 5 s)", _quantiles([one.evidence_ms for one in runs], "ms")),
        (f"evidence of {evidence.resident >> 20} MiB resident", f"{evidence.seconds:.1f} s"),
        (
            "replaced by a healthy instance (target: 10 s)",
            _quantiles([one.replace_ms for one in runs], "ms"),
        ),
        ("found to recovered", _quantiles([one.recovered_ms for one in runs], "ms")),
        (
            "octets out from found to contained, most (target: 1 MiB)",
            f"{max((one.octets_found_to_contained for one in runs), default=0):,}",
        ),
        (
            "octets out after contained, all runs (target: none)",
            f"{sum(one.octets_after for one in runs):,}",
        ),
        (
            "customers' requests that failed meanwhile (target: 0.5 %)",
            f"{failures} of {requests:,} ({failures / max(1, requests):.2%})",
        ),
        (
            f"{flood.incidents:,} incidents at once (simulated)",
            f"{flood.seconds:.1f} s, {flood.grown_mib:.0f} MiB, at most {flood.at_once} contained"
            f" of {flood.allowed} allowed, {flood.done} done, {flood.held_back} held back",
        ),
    ]
    lines = [f"| {len(runs)} of {tried} attacks found | p50 / p99 |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {figure} |" for name, figure in rows)])


def _quantiles(values: Sequence[float], unit: str) -> str:
    if not values:
        return "-"
    return f"{np.quantile(values, 0.5):,.0f} / {np.quantile(values, 0.99):,.0f} {unit}"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    machine = describe_machine()
    evidence, flood = measure_evidence(200 * MIB), asyncio.run(measure_flood(1000))
    runs, tried = asyncio.run(measure(options.runs))
    if options.json:
        figures = {"runs": [asdict(one) for one in runs], "tried": tried}
        apart = {"evidence": asdict(evidence), "flood": asdict(flood)}
        print(json.dumps({"machine": machine} | figures | apart))
        return
    print("\n".join(f"{key}: {value}" for key, value in machine.items()), "\n")
    print(table(runs, tried, evidence, flood))


if __name__ == "__main__":
    main()
