"""How big and how long each call of the bank is, as quantiles taken from a real run.

`calibrate` reduces recorded calls to quantiles per hop; `store_calibration` and `load_calibration`
keep them; `synthesize` draws from them. A caller's time is its own share: the calls that it waited
for are taken off, by their medians, since no record says yet which call caused which.

`python -m meshwarden.lab.calibration CALLS.parquet` makes the file anew from recorded calls.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from meshwarden.kernel import InputError
from meshwarden.lab.agreement import hop_keys
from meshwarden.lab.callgraph import COURSES, KEYS_HOP, Hop
from meshwarden.lab.customers import Floats, Ints

DEFAULT: Final = Path(__file__).parent / "calibration.json"
LEVELS: Final = np.array(
    [0.0, 0.01, 0.05, *np.arange(0.1, 0.95, 0.05).round(2), 0.95, 0.98, 0.99, 1.0]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HopSizes:
    """Quantiles at LEVELS of one hop: octets of both bodies, nanoseconds of its own work."""

    request_bytes: Ints
    response_bytes: Ints
    own_ns: Ints


def calibrate(recorded: pa.Table) -> dict[str, HopSizes]:
    """Return the quantiles of every hop of the call graph; InputError for a hop never recorded."""
    keys = hop_keys(recorded)
    columns = {
        name: recorded[name].to_numpy(zero_copy_only=False).astype(np.int64)
        for name in ("request_bytes", "response_bytes")
    }
    columns["own_ns"] = recorded["duration"].cast(pa.int64()).to_numpy(zero_copy_only=False)
    hops = _all_hops()
    rows = {key: np.flatnonzero(keys == key) for key in hops}
    if missing := [key for key, found in rows.items() if not len(found)]:
        raise InputError(
            "lab.calibration",
            f"no such call was recorded: {missing[0]}",
            where="recorded calls",
            hint="record a longer run, so that every course is taken",
        )
    medians = {key: float(np.median(columns["own_ns"][found])) for key, found in rows.items()}
    return {key: _sizes(columns, rows[key], hop, medians) for key, hop in hops.items()}


def draw(quantiles: Ints, uniform: Floats) -> Ints:
    """Return a value for each of the uniform numbers in 0..1, by the inverse distribution."""
    return np.rint(np.interp(uniform, LEVELS, quantiles)).astype(np.int64)


def store_calibration(calibration: dict[str, HopSizes], path: Path = DEFAULT) -> None:
    """Write the calibration as JSON, one line a hop."""
    lines = [
        f"  {json.dumps(key)}: " + json.dumps({
            "request_bytes": sizes.request_bytes.tolist(),
            "response_bytes": sizes.response_bytes.tolist(),
            "own_us": (sizes.own_ns // 1000).tolist(),
        })
        for key, sizes in sorted(calibration.items())
    ]  # fmt: skip
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def load_calibration(path: Path = DEFAULT) -> dict[str, HopSizes]:
    """Return the calibration in the file."""
    return {
        key: HopSizes(
            request_bytes=np.array(sizes["request_bytes"]),
            response_bytes=np.array(sizes["response_bytes"]),
            own_ns=np.array(sizes["own_us"]) * 1000,
        )
        for key, sizes in json.loads(path.read_text(encoding="utf-8")).items()
    }


def _all_hops() -> dict[str, Hop]:
    """Return every hop of the graph by its key; of equal keys the one that causes least."""
    found: dict[str, Hop] = {}
    waiting = [hop for courses in COURSES.values() for course in courses for hop in course]
    waiting.append(KEYS_HOP)
    while waiting:
        hop = waiting.pop()
        known = found.get(hop.key)
        if known is None or len(hop.causes) < len(known.causes):
            found[hop.key] = hop
        waiting += hop.causes
    return found


def _sizes(columns: dict[str, Ints], rows: Ints, hop: Hop, medians: dict[str, float]) -> HopSizes:
    waited = sum(medians[cause.key] for cause in hop.causes)
    own = np.maximum(columns["own_ns"][rows] - waited, 50_000)
    return HopSizes(
        request_bytes=_quantiles(columns["request_bytes"][rows]),
        response_bytes=_quantiles(columns["response_bytes"][rows]),
        own_ns=_quantiles(own),
    )


def _quantiles(values: Ints | Floats) -> Ints:
    quantiles: Ints = np.quantile(values, LEVELS, method="inverted_cdf").astype(np.int64)
    return quantiles


if __name__ == "__main__":
    recorded = pa.concat_tables([pq.read_table(path) for path in sys.argv[1:]])
    store_calibration(calibrate(recorded.unify_dictionaries()))
