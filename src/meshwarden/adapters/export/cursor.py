"""Reads stored findings from where an outlet stands, and keeps where it stands.

The position is an offset in the file with that inode: the store renames a full file to `<path>.1`
and begins another. Where the file of the position is gone, all that is there is read: rather twice
than not at all. A line that a crash tore is left until it is whole, or skipped when closed off.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from meshwarden.adapters.storage.durable import write_whole
from meshwarden.adapters.storage.findings import parse_finding
from meshwarden.kernel import DependencyError, Finding

_MAX_CURSOR: Final = 4096


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file was read."""

    inode: int = 0
    offset: int = 0


def read_findings(path: Path, position: Position) -> Iterator[tuple[Finding, Position]]:
    """Yield what was stored in `path` after `position`, each with the position after it."""
    for file_path, start in _files(path, position):
        try:
            with file_path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                file.seek(start)
                at = start
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    at += len(line)
                    finding = parse_finding(line)
                    if finding is not None:
                        yield finding, Position(inode, at)
        except FileNotFoundError:
            continue


def _files(path: Path, position: Position) -> list[tuple[Path, int]]:
    older = path.with_name(f"{path.name}.1")
    if _holds(path, position):
        return [(path, position.offset)]
    if _holds(older, position):
        return [(older, position.offset), (path, 0)]
    return [(older, 0), (path, 0)]


def _holds(path: Path, position: Position) -> bool:
    """Return whether `path` is the file of the position; a shorter one only has its number."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return found.st_ino == position.inode and found.st_size >= position.offset


class Cursor:
    """A position that is kept in the file `path`; from the start where that is not readable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Position:
        """Return the position that was kept last."""
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(_MAX_CURSOR))
            return Position(int(found["inode"]), int(found["offset"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Position()

    def store(self, position: Position) -> None:
        """Keep `position` durably; DependencyError where the disk refuses."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = json.dumps(asdict(position))
            write_whole(self._path, lambda target: _write(target, text), replaces=True)
        except OSError as error:
            raise DependencyError(
                "export.cursor", f"{self._path} cannot be written: {error.strerror}",
                retry_after_s=5,
            ) from error  # fmt: skip


def _write(path: Path, text: str) -> None:
    path.write_text(text)
