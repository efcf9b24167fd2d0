"""A small world of calls for the behaviour tests: services that call each other, day and night."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from meshwarden.behaviour import Model, Settings
from meshwarden.kernel import Call, calls_to_table

START = 1_700_000_000_000_000_000 // 3_600_000_000_000 * 3_600_000_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
EDGES = tuple(
    (f"s{a}", f"s{b}") for a, b in ((0, 1), (0, 2), (1, 3), (1, 4), (2, 4), (3, 5), (4, 5), (2, 6))
)
SMALL = Settings(node_bits=10, edge_bits=12, link_bits=12)


def name(short: str) -> str:
    return short if ":" in short else f"spiffe://bank.example/{short}"


def call(time: int, source: str, destination: str, **more: object) -> Call:
    fields: dict[str, object] = {
        "protocol": "http",
        "method": "GET",
        "route": "/v1/{}",
        "status": 200,
    }
    fields |= {"request_bytes": 300, "response_bytes": 900, "reporter": "destination"} | more
    return Call(time=time, source=name(source), destination=name(destination), **fields)  # type: ignore[arg-type]


def traffic(
    hours: int,
    *,
    seed: int = 1,
    edges: Sequence[tuple[str, str]] = EDGES,
    rate: float = 30.0,
    begin: int = START,
    **more: object,
) -> list[Call]:
    """Poisson calls on each edge, `rate` an hour, for some hours."""
    chance = np.random.default_rng(seed)
    calls = []
    for source, destination in edges:
        count = int(chance.poisson(rate * hours))
        for time in chance.integers(0, hours * HOUR, count).tolist():
            size = int(chance.lognormal(6, 0.4))
            calls.append(call(begin + time, source, destination, request_bytes=size, **more))
    return sorted(calls, key=lambda each: each.time)


def table(calls: Iterable[Call]) -> pa.Table:
    return calls_to_table(calls)


def learned(hours: int = 48, **more: object) -> Model:
    """A model that has seen some hours of the world."""
    model = Model(SMALL)
    model.observe(table(traffic(hours, **more)))  # type: ignore[arg-type]
    return model
