"""Files that changed since a process started, in the directories that it can write.

They are seen through the process's own root (/proc/<pid>/root), since a service that is shut in has
a /tmp of its own. Symbolic links are never followed: a suspect could lead us to another's secrets.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_FILES: Final = 10_000
MAX_DEPTH: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One regular file: its path as the process has it, as we reach it, size, time of change."""

    path: str
    reached: Path
    size: int
    changed: int


def changed_files(pid: int, directories: Iterable[str], *, since: int) -> Iterator[Changed]:
    """Yield regular files below `directories` that changed at or after `since`, newest never first.

    Args:
        pid: whose view of the files.
        directories: absolute, as that process sees them.
        since: nanoseconds since the epoch; by the time of the inode's last change, which a program
            cannot set back.
    """
    root = Path(f"/proc/{pid}/root")
    left = MAX_FILES
    for directory in directories:
        for reached in _walk(root / directory.lstrip("/"), 0):
            if left == 0:
                return
            left -= 1
            found = reached.lstat()
            if found.st_ctime_ns >= since:
                path = "/" + str(reached.relative_to(root))
                yield Changed(
                    path=path, reached=reached, size=found.st_size, changed=found.st_ctime_ns
                )


def _walk(directory: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(directory), key=lambda one: one.name)
    except OSError:
        return
    for entry in entries:
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and depth < MAX_DEPTH:
            yield from _walk(Path(entry.path), depth + 1)
        elif stat.S_ISREG(mode):
            yield Path(entry.path)
