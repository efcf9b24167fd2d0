"""`rehearse`: every loop is compiled, or loaded, before the first call has to be scored.

A loop is compiled when it is first called with arrays of a kind. That takes a second or so, and
meanwhile the interpreter answers nobody in time. What has to answer at once (a control plane that
decides at the edge) rehearses first: a small model of its own sees days of calls that nobody made.
"""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.behaviour.model import Model
from meshwarden.behaviour.settings import Settings
from meshwarden.kernel import EXTERNAL, Call, calls_to_table

_HOUR: Final = 3_600_000_000_000
_DAYS: Final = 8
_SMALL: Final = Settings(node_bits=8, edge_bits=10, link_bits=10)


class _Anything:
    """A policy that says something different of each callee."""

    def allows(
        self, source: str, destination: str, method: str | None, route: str | None
    ) -> bool | None:
        del source, method, route
        return {"a": True, "b": False}.get(destination[-1:])


def rehearse() -> None:
    """Run every loop once for each kind of arrays that it is given."""
    for declared in (None, _Anything()):
        model = Model(_SMALL, declared)
        for full in (False, True):
            table = _calls(full=full)
            model.observe(table)
            order = pc.sort_indices(table["time"])  # as calls of several logs come
            model.observe(table.unify_dictionaries().take(order).combine_chunks())
            for batch in table.to_batches(max_chunksize=64):
                model.observe(batch)
        Model.load(model.save(), declared).describe()


def _calls(*, full: bool) -> pa.Table:
    """Return calls of all kinds over some days; every column has values, or only what must have."""
    chance = np.random.default_rng(1)
    return calls_to_table([_call(number, chance, full=full) for number in range(_DAYS * 24 * 4)])


def _call(number: int, chance: np.random.Generator, *, full: bool) -> Call:
    odd = number % 97 == 96  # somebody new fails at everything
    source = f"{EXTERNAL}{number}" if odd else f"spiffe://rehearsal/{'xyz'[number % 3]}"
    more = {
        "source_instance": f"i{number % 2}", "destination_instance": f"d{number % 2}",
        "source_port": 40_000 + number, "destination_port": 443, "method": "GET",
        "route": f"/v1/{number % 5}", "status": 503 if odd else 200, "rule": "r", "mtls": True,
        "request_bytes": int(chance.lognormal(6, 1)), "response_bytes": int(chance.lognormal(7, 1)),
        "duration": int(chance.lognormal(15, 1)), "shape": f"s{number % 4}",
        "transaction": f"t{number // 3}", "session": f"c{number % 7}",
        "release": f"v{number // 500}",
    }  # fmt: skip
    return Call(
        time=number * _HOUR // 4 + int(chance.integers(_HOUR // 4)) + 1,
        source=source,
        destination=f"spiffe://rehearsal/{'abc'[number % 3]}",
        protocol="http" if full else "tcp",
        denied=odd,
        reporter="destination",
        **(more if full else {}),  # type: ignore[arg-type]
    )
