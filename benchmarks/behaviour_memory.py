"""How much memory the model takes: 10,000 services, 1,000,000 edges, and then whatever comes.

    python -m benchmarks.behaviour_memory [--calls N]

One model with the default sizes. First every edge is called once, then edges at random, some far
more often than others, with sizes, ports, routes, sessions and transactions; in the end a flood of
names that nobody ever saw, which must make room by itself. After each million calls the resident
memory of the process is printed, interpreter, libraries and the batch at hand included.
"""

import argparse
import time
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from meshwarden.behaviour import Model
from meshwarden.kernel import CALL_SCHEMA

SERVICES: Final = 10_000
EDGES: Final = 1_000_000
LIMIT_MIB: Final = 1024
_BATCH: Final = 65_536
_MILLION: Final = 1_000_000
_BEGIN: Final = 1_700_000_000_000_000_000
_STEP: Final = 3_000_000  # ns between two calls
_NAMES: Final = [f"spiffe://bank.example/ns/n{k % 50}/sa/s{k}" for k in range(SERVICES)]


def main() -> int:
    """Measure, print, and return 1 where the memory is beyond the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=6 * _MILLION)
    calls = parser.parse_args().calls
    for what, value in describe_machine().items():
        print(f"{what}: {value}")
    print(f"before the model: {_resident_mib()} MiB\n")
    print("| calls | edges | resident, MiB | calls/s |\n|--:|--:|--:|--:|")
    model, chance = Model(), np.random.default_rng(1)
    for first in range(0, calls, _MILLION):
        _run(model, f"{first + _MILLION:,}", [_known(s, n, chance) for s, n in _spans(first)])
    flood = [_strangers(start, size, chance) for start, size in _spans(calls)]
    _run(model, f"{calls + _MILLION:,}, the last of strangers", flood)
    peak = _status("VmHWM")
    print(f"\npeak: {peak} MiB, of {LIMIT_MIB}")
    return int(peak > LIMIT_MIB)


def _run(model: Model, label: str, batches: list[tuple[int, int, NDArray[np.int64]]]) -> None:
    spent = 0.0
    for start, size, edges in batches:
        table = _table(start, size, edges)
        begun = time.process_time()
        model.observe(table)
        spent += time.process_time() - begun
    known = len(model.ground.edges)
    print(f"| {label} | {known:,} | {_resident_mib():,} | {_MILLION / spent:,.0f} |", flush=True)


def _spans(first: int) -> list[tuple[int, int]]:
    return [
        (start, min(_BATCH, first + _MILLION - start))
        for start in range(first, first + _MILLION, _BATCH)
    ]


def _known(
    start: int, size: int, chance: np.random.Generator
) -> tuple[int, int, NDArray[np.int64]]:
    if start + size <= EDGES:
        return start, size, np.arange(start, start + size)
    some = (chance.pareto(1.0, size) * 1000).astype(np.int64) % EDGES
    return start, size, np.where(chance.random(size) < 0.5, some, chance.integers(0, EDGES, size))


def _strangers(
    start: int, size: int, chance: np.random.Generator
) -> tuple[int, int, NDArray[np.int64]]:
    return start, size, -1 - np.arange(start, start + size) - chance.integers(0, 2)


def _table(start: int, size: int, edges: NDArray[np.int64]) -> pa.Table:
    number = np.arange(start, start + size)
    if edges[0] < 0:
        names = [f"spiffe://stranger.example/{-edge}" for edge in edges.tolist()]
        source = pa.array(names).dictionary_encode()
    else:
        source = _party(edges % SERVICES)
    columns = {
        "time": pa.array(_BEGIN + number * _STEP).cast(CALL_SCHEMA.field("time").type),
        "source": source,
        "destination": _party((edges % SERVICES + 1 + edges // SERVICES * 97) % SERVICES),
        "source_instance": _few("pod", number % 997),
        "destination_port": pa.array((8000 + number % 3).astype(np.int32)),
        "protocol": _few("http", number * 0),
        "method": _few("GET", number * 0),
        "route": _few("/v1/r", edges % 7),
        "status": pa.array(np.where(number % 400 == 0, 503, 200).astype(np.int16)),
        "request_bytes": pa.array(200 + number * 7919 % 900),
        "response_bytes": pa.array(500 + number * 104_729 % 4000),
        "denied": pa.array(np.zeros(size, np.bool_)),
        "transaction": pa.array([f"t{each:x}" for each in (number // 4).tolist()]),
        "session": pa.array([f"s{each:x}" for each in (number // 40).tolist()]),
        "reporter": _few("destination", number * 0),
    }
    arrays = [
        columns[f.name].cast(f.type) if f.name in columns else pa.nulls(size, f.type)
        for f in CALL_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=CALL_SCHEMA)


def _party(numbers: NDArray[np.int64]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), _NAMES)


def _few(name: str, numbers: NDArray[np.int64]) -> pa.DictionaryArray:
    """Return names by number; the name itself for 0 alone."""
    names = [f"{name}{k or ''}" for k in range(int(numbers.max()) + 1)]
    if name == "http":
        names = ["http"]
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), names)


def _resident_mib() -> int:
    return _status("VmRSS")


def _status(name: str) -> int:
    """Return a size of this process in MiB, from /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    raise SystemExit(main())
