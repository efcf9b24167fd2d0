"""How soon after a request is logged it is judged, and its finding told, at a steady rate.

    python -m benchmarks.behaviour_live [--rate N] [--seconds N]

A process of its own writes the access logs of all sidecars, both ends of each request, as Envoy
does: each line when it is due, with the time of writing as the request's start. This process runs
the control plane's recorder and watch on them, with a model that knows two days of the bank. Now
and then somebody calls where nobody did before. Delays are from the time in the call (the callee's
line is written half a millisecond after it) until the line is in its log, which is the writer's own
share, until the model has scored it, and until its finding has been told. The budget is set so high
that findings are many enough for a p99. Threads change as often as in `meshwarden serve`.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks.machine import describe_machine
from benchmarks.sidecar_log import DOMAIN, EDGES, SERVICES, inbound, naming, outbound
from meshwarden.adapters.clock import SystemClock
from meshwarden.behaviour import Model, Scored, Settings
from meshwarden.cli.serve import SWITCH_S
from meshwarden.control.recording import LogSource, Recorder
from meshwarden.control.watching import Watch
from meshwarden.control.watching.evidence import first_call_of
from meshwarden.kernel import Call, Finding, calls_to_table

_STEP_S: Final = 0.005
_WARM_S: Final = 5.0
_ODD_EVERY_S: Final = 0.1
_NS: Final = 1_000_000_000


class Timed:
    """A model that notes how old each call was once it was scored; a watch's `ScoringModel`."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.verdicts, self.judge = model.verdicts, model.judge
        self.delays_ms: list[np.ndarray] = []

    def observe(self, calls: pa.Table) -> Scored:
        """Score `calls` and note their ages."""
        scored = self._model.observe(calls)
        ages = time.time_ns() - np.asarray(calls["time"].cast(pa.int64()))
        self.delays_ms.append(ages / 1e6)
        return scored

    def save(self) -> bytes:
        """Return what was learned."""
        return self._model.save()


def main() -> None:
    """Measure, or write the logs for the process that does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.write is not None:
        write(chosen.write, chosen.rate, chosen.seconds + _WARM_S)
        return
    for what, value in describe_machine().items():
        print(f"{what}: {value}")
    sys.setswitchinterval(SWITCH_S)
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(measure(Path(scratch), chosen.rate, chosen.seconds))


def write(folder: Path, rate: int, seconds: float) -> None:
    """Append to the logs in `folder` what is due, every few milliseconds; print how late it was."""
    begin, number, odd_at = time.monotonic(), 0, _WARM_S
    late_ms: list[np.ndarray] = []
    while (passed := time.monotonic() - begin) < seconds:
        lines: dict[str, list[bytes]] = {name: [] for name in SERVICES}
        due, starts = int(passed * rate), []
        for each in range(number, due):
            source, destination = EDGES[each % len(EDGES)]
            if passed >= odd_at:
                source, destination, odd_at = _odd(each), source, odd_at + _ODD_EVERY_S
            now = time.time_ns()
            if source in lines:
                lines[source].append(outbound(each, now, destination))
            lines[destination].append(inbound(each, now, source, destination))
            starts.append(now)
        number = due
        for name, some in lines.items():
            with (folder / f"{name}.log").open("ab") as log:  # anew, for it may be rotated
                log.write(b"".join(some))
        if passed >= _WARM_S:
            late_ms.append((time.time_ns() - np.array(starts)) / 1e6)
        time.sleep(max(0.0, _STEP_S - (time.monotonic() - begin - passed)))
    late = np.concatenate(late_ms)
    print(json.dumps([number, len(late), *np.percentile(late, [50, 99, 100])]))


def _odd(number: int) -> str:
    return f"intruder-{number}"


async def measure(scratch: Path, rate: int, seconds: float) -> None:
    """Run recorder and watch on the logs while they are written; print the delays."""
    detector, told = Timed(_learned()), list[tuple[int, int]]()

    def tell(finding: Finding) -> None:
        if (began := first_call_of(finding)) is not None:
            told.append((began, time.time_ns()))

    watch = Watch(open_model=lambda: detector, tell=tell, keep=lambda _: None, clock=SystemClock())
    recorder = Recorder(
        folder=scratch / "calls", clock=SystemClock(), naming=naming(scratch), observe=watch.offer
    )
    for name in SERVICES:
        recorder.follow(LogSource(name=name, owner=DOMAIN + name, path=scratch / f"{name}.log"))
    command = [sys.executable, "-m", "benchmarks.behaviour_live", "--write", str(scratch)]
    running = [asyncio.create_task(recorder.run()), asyncio.create_task(watch.run())]
    begun, begun_ns = time.process_time(), time.time_ns()
    writer = await asyncio.create_subprocess_exec(
        *command, "--rate", str(rate), "--seconds", str(seconds), stdout=subprocess.PIPE
    )
    written, *late = json.loads((await writer.communicate())[0])
    await recorder.close(settle=True)
    await watch.close()
    spent = time.process_time() - begun
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    figures = watch.figures()
    print(f"{written:,} requests in {seconds + _WARM_S:g} s, {figures.scored:,} calls scored,")
    print(f"{figures.left_out:,} left out; {spent / (seconds + _WARM_S):.2f} cores used\n")
    print("| delay, ms | of | p50 | p99 | most |\n|---|--:|--:|--:|--:|")
    print("| call to line | {:,} | {:.0f} | {:.0f} | {:.0f} |".format(*late))
    _row("call to score", np.concatenate(detector.delays_ms)[int(_WARM_S * rate) :])
    steady = begun_ns + int(_WARM_S * _NS)
    _row("call to finding", np.array([(at - at_ns) / 1e6 for at_ns, at in told if at_ns > steady]))


def _row(name: str, found: np.ndarray) -> None:
    p50, p99 = np.percentile(found, [50, 99])
    print(f"| {name} | {len(found):,} | {p50:.0f} | {p99:.0f} | {found.max():.0f} |")


def _learned() -> Model:
    model = Model(Settings(false_alarms_per_day=100_000.0))
    model.observe(calls_to_table(_two_days(time.time_ns())))
    return model


def _two_days(now: int) -> Iterator[Call]:
    """Return the bank's calls of the last two days: a few a minute on each edge."""
    for minute in range(2 * 24 * 60):
        for source, destination in EDGES:
            for part in range(4):
                yield Call(
                    time=now - (2 * 24 * 60 - minute) * 60 * _NS + part * 15 * _NS,
                    source=DOMAIN + source,
                    destination=DOMAIN + destination,
                    protocol="http",
                    method="GET",
                    route="/v1/accounts/{}/entries",
                    status=200,
                    request_bytes=0,
                    response_bytes=2500,
                    reporter="destination",
                )


if __name__ == "__main__":
    main()
