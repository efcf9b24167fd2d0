"""Lines that broke their format, kept aside with the reason: bounded, never the reason to stop."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KEPT_BYTES: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One line: which log, where in it (`generation:offset`), why, and its first octets."""

    log: str
    where: str
    reason: str
    line: bytes


class RejectedLines:
    """A file of rejected lines and its predecessor, together at most twice `max_bytes`.

    Lines can stand in it twice when the process was killed: the place in the log tells.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def keep(self, lines: Iterable[Rejected]) -> None:
        """Append `lines`; OSError where the disk refuses."""
        text = "".join(_render(line) for line in lines)
        if not text:
            return
        if self._path.exists() and self._path.stat().st_size > self._max_bytes:
            self._path.replace(self._path.with_suffix(".old.jsonl"))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)


def _render(line: Rejected) -> str:
    shown = line.line[:_KEPT_BYTES].decode("utf-8", "backslashreplace")
    fields = {"log": line.log, "where": line.where, "reason": line.reason, "line": shown}
    return json.dumps(fields) + "\n"
