"""Where recorded calls wait to be scored: bounded, with back-pressure first, then sampling.

The recorder's thread offers, the watch takes. While there is room everything is taken. Where there
is none, the recorder waits a little: the access logs are the longer queue. Where that does not
help, one call in `SAMPLE` goes on, as long as there is room for that, and the others are counted.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from meshwarden.kernel import Call

SAMPLE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What waited: `calls`, of which `left_out` others are missing."""

    calls: list[Call]
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
        self._waiting: list[Call] = []
        self._left_out = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    def offer(self, calls: Sequence[Call]) -> None:
        """Take `calls`, or a sample of them; may wait for `patience_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._fits(len(calls)), self._patience_s):
                calls = self._sampled(calls)
            if self._closed:
                return
            self._waiting += calls
        self.arrived()

    def take(self) -> Taken:
        """Return all that waits, at once."""
        with self._changed:
            taken = Taken(calls=self._waiting, left_out=self._left_out)
            self._waiting, self._left_out = [], 0
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take nothing more, and hold nobody up."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, more: int) -> bool:
        # One offer larger than the whole room is taken where nothing else waits.
        return self._closed or not self._waiting or len(self._waiting) + more <= self._room

    def _sampled(self, calls: Sequence[Call]) -> Sequence[Call]:
        kept = calls[::SAMPLE][: max(0, 2 * self._room - len(self._waiting))]
        self._left_out += len(calls) - len(kept)
        return kept
