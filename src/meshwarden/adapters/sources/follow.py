"""Follows a growing file as `tail -F` does: through rotation and truncation, whoever rotates.

The file that was opened is read to its end before its successor (another inode under the same name)
is opened; one that became shorter than what was read begins anew. Nothing here waits.
"""

import os
import select
import sys
from io import FileIO
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 256 * 1024


class FollowedFile:
    """A file that grows; it may not be there yet.

    Attributes:
        ended: whether nothing can come any more; never, for a file.
        renewed: how often it was replaced or cut.
    """

    ended = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.renewed = 0
        self._file: FileIO | None = None

    def read(self) -> bytes:
        """Return what was added since the last time, b"" where nothing was; OSError."""
        if self._file is None and not self._open():
            return b""
        data = self._read()
        if data:
            return data
        if self._file is not None and _was_cut(self._file):
            self._file.seek(0)
            self.renewed += 1
            return self._read()
        if self._was_replaced():
            self.close()
            self.renewed += 1
            return self._read() if self._open() else b""
        return b""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = FileIO(self.path)
        except FileNotFoundError:
            return False
        return True

    def _read(self) -> bytes:
        return (self._file.read(CHUNK_BYTES) or b"") if self._file else b""

    def _was_replaced(self) -> bool:
        """Return whether another file has the name; one that is away may come again."""
        if self._file is None:
            return False
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        own = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (own.st_dev, own.st_ino)


def _was_cut(file: FileIO) -> bool:
    return os.fstat(file.fileno()).st_size < file.tell()


class FollowedPipe:
    """Standard input; `ended` once its writer closed it."""

    def __init__(self) -> None:
        self.path = Path("-")
        self.renewed = 0
        self.ended = False

    def read(self) -> bytes:
        """Return what is there; b"" where nothing is, without waiting."""
        file = sys.stdin.fileno()
        if self.ended or not select.select([file], [], [], 0)[0]:
            return b""
        data = os.read(file, CHUNK_BYTES)
        self.ended = not data
        return data

    def close(self) -> None:
        """Leave it open: it is not ours."""
