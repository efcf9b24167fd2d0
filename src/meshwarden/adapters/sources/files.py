"""Which files a command's arguments name, and how they are opened: folders, patterns, stdin."""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from meshwarden.kernel import InputError

STDIN: Final = "-"
_PATTERN: Final = frozenset("*?[")


def expand(paths: Sequence[str | Path], *, absent: bool = False) -> list[Path]:
    """Return the files that `paths` name, in their order; a folder gives all in it, by name.

    A folder of recorded parts (`calls-*.parquet`) stays one. `absent` accepts files that are not
    there yet. InputError `source.missing`.
    """
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        if str(name) == STDIN or path.is_file() or path.is_fifo():
            found.append(path)
        elif path.is_dir():
            found += [path] if any(path.glob("calls-*-*.parquet")) else _below(path)
        elif _PATTERN & set(str(name)):
            found += _matching(str(name))
        elif absent:
            found.append(path)
        else:
            raise _missing(str(name), "no such file")
    return found


def open_log(path: Path) -> BinaryIO:
    """Open a log to be read from its start; InputError `source.unreadable`."""
    if str(path) == STDIN:
        return sys.stdin.buffer
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(
            "source.unreadable", f"cannot be opened: {error.strerror}", where=str(path)
        ) from error


def _below(folder: Path) -> list[Path]:
    found = sorted(_files(folder))
    if not found:
        raise _missing(str(folder), "no files in it")
    return found


def _files(folder: Path) -> Iterator[Path]:
    for name, _, files in os.walk(folder):
        for file in files:
            path = Path(name, file)
            if not file.startswith(".") and path.is_file():
                yield path


def _matching(pattern: str) -> list[Path]:
    found = sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207  # absolute too
    files = [path for path in found if path.is_file()]
    if not files:
        raise _missing(pattern, "the pattern matches no file")
    return files


def _missing(where: str, why: str) -> InputError:
    return InputError("source.missing", why, where=where, hint="a file, a folder, a pattern, or -")
