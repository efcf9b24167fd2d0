"""What a long-running command shows: lines of many processes, written without holding them up.

A terminal that is paused or a pipe that nobody reads must not stop the loop that restarts
processes. Lines go through a bounded queue to a thread; what does not fit is counted and said.
"""

import os
import queue
import threading
from collections.abc import Callable
from typing import Final

QUEUE_LINES: Final = 10_000
CLOSE_TIMEOUT_S: Final = 2.0

STDOUT: Final = 1
STDERR: Final = 2


class Screen:
    """Writes lines to stdout and stderr in the order in which they come.

    Args:
        on_gone: called, in the writing thread, when the reader has closed its end.
    """

    def __init__(self, *, on_gone: Callable[[], None]) -> None:
        self._on_gone = on_gone
        self._queue: queue.Queue[tuple[int, str] | None] = queue.Queue(maxsize=QUEUE_LINES)
        self._skipped = 0
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    def show(self, line: str, *, to: int = STDOUT) -> None:
        """Write `line` some time soon, or count it as skipped."""
        try:
            if self._skipped:
                self._queue.put_nowait((STDERR, f"meshwarden | {self._skipped} lines not shown"))
                self._skipped = 0
            self._queue.put_nowait((to, line))
        except queue.Full:
            self._skipped += 1

    def close(self) -> None:
        """Write what waits, for as long as someone takes it."""
        try:
            self._queue.put(None, timeout=CLOSE_TIMEOUT_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            descriptor, line = entry
            try:
                _write(descriptor, f"{line}\n".encode(errors="backslashreplace"))
            except OSError:
                self._on_gone()
                return


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
