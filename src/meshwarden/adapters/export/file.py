"""Findings as OCSF events in a file, one JSON object a line, durable when `deliver` returns."""

import asyncio
import json
import os
from pathlib import Path

from meshwarden.adapters.ocsf import render_detection
from meshwarden.kernel import DependencyError, Finding


class JsonLinesFile:
    """Appends to the file `path`, readable by its owner alone unless it exists."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        self.address = str(path.absolute())

    async def deliver(self, finding: Finding) -> None:
        """See Outlet."""
        line = json.dumps(render_detection(finding), separators=(",", ":")).encode() + b"\n"
        try:
            await asyncio.to_thread(self._append, line)
        except OSError as error:
            raise DependencyError(
                "export.file", f"{self._path} cannot be written: {error.strerror}", retry_after_s=5
            ) from error

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
