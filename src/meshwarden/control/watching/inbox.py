"""Where recorded calls wait to be scored: bounded, with back-pressure first, then sampling.

The recorder's thread offers, the watch takes. While there is room everything is taken. Where there
is none, the recorder waits a little: the access logs are the longer queue. Where that does not
help, one call in `SAMPLE` goes on, as long as there is room for that, and the others are counted.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from meshwarden.kernel import CALL_SCHEMA

SAMPLE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What waited: `calls` (CALL_SCHEMA), of which `left_out` others are missing."""

    calls: pa.Table
    left_out: int


class Inbox:
    """A bounded queue between two threads.

    Args:
        room: how many calls may wait; as many again may, of a sample.
        patience_s: how long the one who offers is held up.
        arrived: called, from the offering thread, when something waits.
    """

    def __init__(
        self,
        *,
        room: int = 50_000,
        patience_s: float = 1.0,
        arrived: Callable[[], None] = lambda: None,
    ) -> None:
        self._room = room
        self._patience_s = patience_s
        self.arrived = arrived
        self._changed = threading.Condition()
        self._tables: list[pa.Table] = []
        self._waiting = 0
        self._left_out = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._waiting

    def offer(self, calls: pa.Table) -> None:
        """Take `calls` (CALL_SCHEMA), or a sample of them; may wait for `patience_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._fits(calls.num_rows), self._patience_s):
                calls = self._sampled(calls)
            if self._closed:
                return
            self._tables.append(calls)
            self._waiting += calls.num_rows
        self.arrived()

    def take(self) -> Taken:
        """Return all that waits, at once."""
        with self._changed:
            tables, left_out = self._tables, self._left_out
            self._tables, self._waiting, self._left_out = [], 0, 0
            self._changed.notify_all()
        return Taken(
            calls=pa.concat_tables([CALL_SCHEMA.empty_table(), *tables]), left_out=left_out
        )

    def close(self) -> None:
        """Take nothing more, and hold nobody up."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, more: int) -> bool:
        # One offer larger than the whole room is taken where nothing else waits.
        return self._closed or not self._waiting or self._waiting + more <= self._room

    def _sampled(self, calls: pa.Table) -> pa.Table:
        room = max(0, 2 * self._room - self._waiting)
        kept = calls.take(pa.array(range(0, calls.num_rows, SAMPLE)[:room], pa.int64()))
        self._left_out += calls.num_rows - kept.num_rows
        return kept
