"""Findings as JSON lines, appended and made durable one by one, in bounded space.

A line that a crash tore is skipped when reading and closed off before the next is written. One
process writes; any may read.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from meshwarden.adapters.storage.durable import sync_folder
from meshwarden.kernel import Contribution, DependencyError, Finding, Severity

_MAX_BYTES: Final = 16 * 1024**2


class FileFindingStore:
    """A `FindingStore` in one file.

    Args:
        path: made where it is missing; `<path>.1` holds what came before.
        max_bytes: size at which the file becomes the predecessor.
    """

    def __init__(self, path: Path, *, max_bytes: int = _MAX_BYTES) -> None:
        self._path = path
        self._older = path.with_name(f"{path.name}.1")
        self._max_bytes = max_bytes

    def store_finding(self, finding: Finding) -> None:
        """Keep `finding` durably; DependencyError `findings.write` where that fails."""
        line = json.dumps(asdict(finding), separators=(",", ":")).encode() + b"\n"
        try:
            self._rotate()
            with self._path.open("ab+") as file:
                if _is_torn(file.fileno()):
                    line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._path.parent)
        except OSError as error:
            raise DependencyError(
                "findings.write", f"{self._path} cannot be written: {error}", retry_after_s=5
            ) from error

    def load_findings(self, *, limit: int = 1000) -> Iterable[Finding]:
        """Return the newest `limit` findings, oldest first."""
        lines = _newest_lines(self._path, limit)
        if len(lines) < limit:
            lines = _newest_lines(self._older, limit - len(lines)) + lines
        found = (parse_finding(line) for line in lines)
        return [finding for finding in found if finding is not None]

    def _rotate(self) -> None:
        if self._path.exists() and self._path.stat().st_size >= self._max_bytes:
            self._path.replace(self._older)


def _is_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _newest_lines(path: Path, limit: int) -> list[bytes]:
    try:
        return [line for line in path.read_bytes().splitlines() if line][-limit:] if limit else []
    except FileNotFoundError:
        return []


def parse_finding(line: bytes) -> Finding | None:
    """Return the finding of one stored line; None where the line is torn or none of ours."""
    try:
        found = json.loads(line)
        return Finding(
            **found
            | {
                "severity": Severity(found["severity"]),
                "contributions": tuple(Contribution(**each) for each in found["contributions"]),
                "evidence": tuple(found["evidence"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
