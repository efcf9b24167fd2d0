"""Progress of long reading, on stderr: one line that renews itself on a terminal, few elsewhere."""

import sys
import time
from typing import Final

_TERMINAL_S: Final = 0.5
_LOG_S: Final = 10.0


class Progress:
    """Counts octets, and shows them with what the caller says, now and then."""

    def __init__(self) -> None:
        self._octets = 0
        self._terminal = sys.stderr.isatty()
        self._shown = time.monotonic()
        self._drawn = False

    def add(self, octets: int) -> None:
        """Count octets read."""
        self._octets += octets

    def show(self, text: str) -> None:
        """Show `text`, unless something was shown just now."""
        now = time.monotonic()
        if now - self._shown < (_TERMINAL_S if self._terminal else _LOG_S):
            return
        self._shown = now
        line = f"read {self._octets / 1e6:,.0f} MB, {text}"
        if self._terminal:
            sys.stderr.write(f"\r\x1b[2K{line}")
            self._drawn = True
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def done(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
