"""A bank that lives faster than the clock: its times, and the clock's.

The demonstration plays an hour of the customers' day in a minute. The model learned what is normal
in an hour, so the watch shows it each call at the bank's own time.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from meshwarden.kernel import CALL_SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The clock's time `at` is the bank's time `shows`; from then on the bank lives `speed` faster.

    Attributes:
        at: nanoseconds since the epoch, by the clock.
        shows: nanoseconds since the epoch, as the bank's own time.
        speed: seconds of the bank in a second; above 0.
    """

    at: int
    shows: int
    speed: float

    def __post_init__(self) -> None:
        if not 0 < self.speed <= 1e6:
            raise ValueError(f"a speed of {self.speed} is not above 0 and at most a million")

    def paced(self, calls: pa.Table) -> pa.Table:
        """Return `calls` (CALL_SCHEMA) at the bank's time, but for those before it began."""
        times = calls["time"].cast(pa.int64()).to_numpy()
        lived = times >= self.at
        shown = self.shows + np.rint((times[lived] - self.at) * self.speed).astype(np.int64)
        column = pa.array(shown).cast(CALL_SCHEMA.field("time").type)
        return calls.filter(pa.array(lived)).set_column(0, CALL_SCHEMA.field("time"), column)

    def clock_time(self, time: int) -> int:
        """Return what the clock showed at the bank's time `time`."""
        return self.at + round((time - self.shows) / self.speed)
