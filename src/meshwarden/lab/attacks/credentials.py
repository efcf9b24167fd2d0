"""Misused credentials, on simulated calls: what is bound to one workload or device, seen elsewhere.

- `stolen-session`: the session of a customer goes on being used on his own device, and at the same
  time on another: one token in two places.
- `stolen-transaction`: notifications, which is told of bookings, uses the transaction tokens that
  it received for calls of its own; a transaction belongs to the services that it passed through.

Real logs carry no session as long as no token is checked at a sidecar.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import CALL_SCHEMA
from meshwarden.lab.attacks.model import chance_of
from meshwarden.lab.attacks.simulate import START, World, merged, simulated_calls
from meshwarden.lab.callgraph import CUSTOMERS
from meshwarden.lab.customers import Bools
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.lab.synthesize import load_identities

_USES: Final = 12
_GAP_NS: Final = 20_000_000_000

_Steal = Callable[[pa.Table, np.random.Generator], dict[str, Any]]


def simulated_misuse(name: str, seed: int, world: World | None = None) -> tuple[pa.Table, Bools]:
    """Return quiet days and one day with a misused credential, and which rows are the misuse.

    Args:
        name: one of `MISUSES`.
        seed: chance of customers, and of which credential is misused when.
        world: the bank.

    Returns:
        As `simulate.simulated_attack`, with sessions, transactions and devices.
    """
    world = world or World()
    quiet = simulated_calls(seed, world, sessions=True)
    chance = chance_of(seed, name)
    after = START + timedelta(days=world.history_days, hours=chance.uniform(6, 20))
    begins = int(after.timestamp()) * 1_000_000_000
    later = pc.greater_equal(quiet["time"].cast(pa.int64()), begins)
    changed = MISUSES[name](quiet.filter(later), chance)
    return merged(quiet, _uses(changed, chance))


def _stolen_session(calls: pa.Table, chance: np.random.Generator) -> dict[str, Any]:
    """Return a customer's request, as sent from the thief's device."""
    outer = calls.filter(pc.equal(calls["source"].cast(pa.string()), CUSTOMERS))
    asked = outer.filter(pc.equal(outer["route"].cast(pa.string()), "/v1/accounts/{}/balance"))
    row = _row(asked, int(chance.integers(min(50, asked.num_rows))))
    return row | {"source_instance": "device-of-the-thief"}


def _stolen_transaction(calls: pa.Table, chance: np.random.Generator) -> dict[str, Any]:
    """Return a booking, as asked for by notifications under a transaction that it was told of."""
    identities = load_identities(ACCESS_POLICY)
    told = calls.filter(
        pc.equal(calls["destination"].cast(pa.string()), identities["notifications"])
    )
    row = _row(told, int(chance.integers(min(50, told.num_rows))))
    return row | {
        "source": identities["notifications"],
        "destination": identities["ledger"],
        "method": "GET",
        "route": "/v1/accounts/{}/balance",
        "status": 403,
        "denied": True,
        "rule": "default-deny",
    }


MISUSES: Final[dict[str, _Steal]] = {
    "stolen-session": _stolen_session,
    "stolen-transaction": _stolen_transaction,
}


def _row(table: pa.Table, place: int) -> dict[str, Any]:
    """Return a row, its time and duration as nanoseconds."""
    one = table.slice(place, 1)
    numbers = {name: one[name].cast(pa.int64())[0].as_py() for name in ("time", "duration")}
    found: dict[str, Any] = one.drop(list(numbers)).to_pylist()[0]
    return found | numbers


def _uses(row: dict[str, Any], chance: np.random.Generator) -> pa.Table:
    """Return the misuse, again and again, from soon after `row` on."""
    gaps = np.cumsum([round(_GAP_NS * chance.uniform(0.2, 1.8)) for _ in range(_USES)])
    rows = [row | {"time": row["time"] + int(gap)} for gap in gaps]
    arrays = [
        pa.array([each[name] for each in rows]).cast(CALL_SCHEMA.field(name).type)
        for name in CALL_SCHEMA.names
    ]
    return pa.Table.from_arrays(arrays, schema=CALL_SCHEMA)
