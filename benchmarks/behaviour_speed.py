"""How fast calls are scored, on one core: from Arrow batches, and from the octets of Envoy's logs.

    python -m benchmarks.behaviour_speed [--calls N] [--rounds N]

Rows, each begun with a new model in each round, in turn:

- Arrow batches: a labelled set of `MESHWARDEN_DATA` where there is one, and generated calls with
  routes, sizes and transactions;
- an Envoy's JSON log that somebody else configured: `open_source` (sniffing, decoding, duplicates,
  routes), then the model, as `survey` and `behaviour watch` do it;
- our own sidecars' logs: the recorder's engine (tail, decoding, both ends into one call, the record
  as Parquet on disk), then the model, as the control plane does it.

Time is the process's own, all threads together; libraries are held to one.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa

from benchmarks.behaviour_data import data_folder, load_labelled
from benchmarks.machine import describe_machine
from benchmarks.sidecar_log import DOMAIN, SERVICES, inbound, naming, outbound, requests
from benchmarks.sources import write_envoy_log
from meshwarden.adapters.clock import SystemClock
from meshwarden.behaviour import Model
from meshwarden.control.recording import Limits, LogSource
from meshwarden.control.recording.engine import Engine
from meshwarden.control.sources import open_source
from meshwarden.kernel import Call, calls_to_table

_SETS = ("darpa98-june", "nezha-2022-08-22")
_BATCH = 65_536


def generated(calls: int) -> pa.Table:
    """Return calls of the small bank, 50 a second."""
    begin = 1_700_000_000_000_000_000
    return calls_to_table(
        Call(
            time=begin + number * 20_000_000,
            source=DOMAIN + source,
            destination=DOMAIN + destination,
            source_instance=f"10.0.0.{number % 40}",
            protocol="http",
            method="GET",
            route="/v1/accounts/{}/entries",
            status=200 if number % 500 else 503,
            request_bytes=300 + number % 97,
            response_bytes=900 + number % 997,
            duration=2_000_000,
            transaction=f"txn-{number // 3:x}",
            reporter="destination",
        )
        for number, source, destination in requests(0, calls)
    )


def score_arrow(table: pa.Table) -> None:
    """Score batches as they come from a file of calls."""
    model = Model()
    for start in range(0, table.num_rows, _BATCH):
        model.observe(table.slice(start, _BATCH))


def score_import(path: Path, calls: int) -> None:
    """Score what is read from somebody else's log."""
    model = Model()
    for batch in open_source([path]):
        model.observe(batch)
    assert model.calls == calls, f"{model.calls} of {calls} lines were scored"


def score_record(folder: Path, calls: int, *, store: bool) -> None:
    """Score what the recorder reads from the sidecars' logs, and records where it is to `store`."""
    model, never = Model(), Limits(part_rows=10**9, part_age_s=1e9)

    def observe(found: pa.Table) -> None:
        model.observe(found.unify_dictionaries().combine_chunks())

    with tempfile.TemporaryDirectory() as record:
        engine = Engine(
            folder=Path(record) / "calls",
            clock=SystemClock(),
            naming=naming(Path(record)),
            limits=Limits() if store else never,
            report=print,
            observe=observe,
        )
        for name in SERVICES:
            engine.follow(LogSource(name=name, owner=DOMAIN + name, path=folder / f"{name}.log"))
        while engine.cycle(write=store, settle=True):
            pass
        engine.close()
    assert model.calls == calls, f"{model.calls} of {calls} calls were scored"


def write_sidecar_logs(folder: Path, calls: int, *, both: bool) -> Path:
    """Write the logs of all services, of the callees alone or of both ends."""
    folder.mkdir()
    now = time.time_ns() - calls * 1000
    files = {name: (folder / f"{name}.log").open("wb") for name in SERVICES}
    for number, source, destination in requests(0, calls):
        start = now + number * 1000
        if both:
            files[source].write(outbound(number, start, destination))
        files[destination].write(inbound(number, start, source, destination))
    for file in files.values():
        file.close()
    return folder


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as scratch:
        works = _works(Path(scratch), chosen.calls)
        rates: dict[str, list[float]] = {name: [] for name in works}
        for work, _ in works.values():
            work()  # what is compiled or cached, is
        for _ in range(chosen.rounds):
            for name, (work, calls) in works.items():
                begun = time.process_time()
                work()
                rates[name].append(calls / (time.process_time() - begun))
    for what, value in describe_machine().items():
        print(f"{what}: {value}")
    print(f"{chosen.rounds} rounds\n")
    print("| from | calls a round | calls/s, median | lowest | highest |\n|---|--:|--:|--:|--:|")
    for name, found in rates.items():
        figures = (statistics.median(found), min(found), max(found))
        print(f"| {name} | {works[name][1]:,} | " + " | ".join(f"{f:,.0f}" for f in figures) + " |")


def _works(scratch: Path, calls: int) -> dict[str, tuple[Callable[[], None], int]]:
    works: dict[str, tuple[Callable[[], None], int]] = {}
    data = data_folder()
    for name in _SETS:
        if data is None:
            continue
        table = load_labelled(data / name).table
        works[f"Arrow, {name}"] = (partial(score_arrow, table), table.num_rows)
    works["Arrow, generated with sizes and transactions"] = (
        partial(score_arrow, generated(calls)),
        calls,
    )
    log = scratch / "envoy.log"
    write_envoy_log(log, calls)
    works["an Envoy's JSON log"] = (partial(score_import, log, calls), calls)
    for word, both in (("the callee's end", False), ("both ends", True)):
        folder = write_sidecar_logs(scratch / word.split()[-1], calls, both=both)
        for also, store in (("", False), (", recorded on disk as well", True)):
            work = partial(score_record, folder, calls, store=store)
            works[f"sidecars' logs, {word}{also}"] = (work, calls)
    return works


if __name__ == "__main__":
    main()
