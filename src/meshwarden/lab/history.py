"""What is normal in the bank, learned before it starts: quiet days by the same customer model.

The days end where the demonstration begins, so that the watch goes on without a gap. `agreement`
tests that they are what a real run would have recorded.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.storage.model_state import FileModelState
from meshwarden.kernel import CALL_SCHEMA, EXTERNAL
from meshwarden.lab.callgraph import CUSTOMERS
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.synthesize import synthesize

MOST_DAYS: Final = 60.0
_STREAM: Final = 1  # other days than the demonstration's own
_EDGE: Final = f"{EXTERNAL}127.0.0.1"  # whom the demonstration's customers are recorded as
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was learned before the start.

    Attributes:
        days: how many days of the bank.
        calls: how many calls they had.
        seconds: how long it took to simulate and to learn them.
    """

    days: float = 0.0
    calls: int = 0
    seconds: float = 0.0


def learn_history(
    path: Path, model: CustomerModel, *, until: datetime, days: float, seed: int, postgres: bool,
    false_alarms_per_day: float = 1.0,
) -> History:  # fmt: skip
    """Learn `days` that end at `until`, keep the model in `path`, and say how long it took.

    Without any days, what is kept there is removed.
    """
    if not days:
        path.unlink(missing_ok=True)
        return History()
    from meshwarden.behaviour import Model, Settings  # noqa: PLC0415  # compiled code, seconds

    begin = perf_counter()
    calls = quiet_days(model, until=until, days=days, seed=seed, postgres=postgres)
    # All of it is warm-up: nobody reads its alarms, and none may be charged to the budget.
    learned = Model(
        Settings(false_alarms_per_day=false_alarms_per_day, warm_up_minutes=days * 1440)
    )
    learned.observe(calls)
    FileModelState(path).store_state(learned.save())
    return History(days=days, calls=calls.num_rows, seconds=perf_counter() - begin)


def quiet_days(
    model: CustomerModel, *, until: datetime, days: float, seed: int, postgres: bool
) -> pa.Table:
    """Return the calls of `days` that end at `until`, named as the recorder names them."""
    start = until - timedelta(days=days)
    timeline = model.timeline(start=start, span_s=days * _DAY_S, stream=_STREAM)
    calls = synthesize(timeline, start=start, seed=seed, postgres=postgres)
    before = pc.less(calls["time"].cast(pa.int64()), int(until.timestamp()) * 1_000_000_000)
    return _as_recorded(calls.filter(before))


def _as_recorded(calls: pa.Table) -> pa.Table:
    """Return `calls` with the address that customers come from in the place of `customers`."""
    column = calls["source"].cast(pa.string())
    named = pc.if_else(pc.equal(column, CUSTOMERS), _EDGE, column)
    place = calls.schema.get_field_index("source")
    return calls.set_column(
        place, CALL_SCHEMA.field("source"), named.cast(CALL_SCHEMA.field("source").type)
    )
