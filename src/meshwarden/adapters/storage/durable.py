"""Whole files that are either there or not, whatever kills the process or the machine."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], None], *, replaces: bool = False) -> None:
    """Make a new file: let `write` fill a temporary one beside it, make it durable, name it `path`.

    OSError where the disk refuses; then nothing is left behind, also no file that might vanish, but
    what it `replaces` stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError:
        for left in (temporary,) if replaces else (temporary, path):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
