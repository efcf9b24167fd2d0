"""Rate: counted in one pass, and the same as each channel counted by itself."""

import math
from typing import Any

import numpy as np
from tests.behaviour_world import SMALL, table, traffic

from meshwarden.behaviour.calibrate import BINS, levels
from meshwarden.behaviour.counts import LEVEL, WINDOW, count, pools
from meshwarden.behaviour.detectors.rate import Rate
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.ground import Ground, Placed
from meshwarden.behaviour.season import SEASON

MUTED = np.zeros(1 << SMALL.node_bits, np.bool_)
MINUTE = 60_000_000_000


def _placed() -> Placed:
    encoded = encode(table(traffic(60, seed=4, rate=12.0)))
    return Ground(SMALL).place(encoded, np.maximum.accumulate(encoded.time))


def _alone(keys: Any, fresh: Any, amount: Any, window: Any, per_hour: int) -> Any:
    """Count for one kind of key by itself, judged by nobody else."""
    records, pool, nothing = np.zeros(1 << 10, WINDOW), pools(1)[0], np.zeros(1, LEVEL)
    seasons, usual, found = np.zeros(1 << 10, SEASON), np.zeros(1, SEASON), []
    for key, new, more, now in zip(keys, fresh, amount, window, strict=True):
        nothing[0]["weight"] = 0.0
        surprise, _ = count(
            records[key], new, False, now, more, pool, nothing[0], nothing[0], seasons[key],
            usual[0], per_hour, math.nan,
        )  # fmt: skip
        found.append(surprise)
    return np.array(found, np.float32)


def test_the_fused_pass_gives_what_each_channel_gives_alone() -> None:
    placed = _placed()
    out = Rate(SMALL).observe(placed, MUTED)
    every = np.ones(len(placed))
    for channel, keys, fresh, per_hour in (
        ("source minute", placed.source, placed.fresh[:, 0], 60),
        ("source hour", placed.source, placed.fresh[:, 0], 1),
    ):
        window = (placed.clock // (60 * MINUTE // per_hour)).astype(np.int32)
        alone = _alone(keys, fresh, every, window, per_hour)
        assert np.array_equal(out[Rate.channels.index(channel)], alone)


def test_compiled_levels_are_those_of_plain_numpy() -> None:
    chance = np.random.default_rng(2)
    for scale in (1.0, 4.0, 30.0):
        histogram = chance.poisson(1000 * np.exp(-np.arange(BINS) / (4 * scale))).astype(float)
        plain = levels.py_func(histogram)  # type: ignore[attr-defined]
        assert np.allclose(levels(histogram), plain, rtol=1e-9, atol=1e-9)
