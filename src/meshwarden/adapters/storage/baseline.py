"""Baselines of the behaviour model as files: whole or not at all, and bounded when read."""

from pathlib import Path
from typing import Final

from meshwarden.adapters.storage.durable import write_whole
from meshwarden.kernel import DependencyError, InputError

_MOST_OCTETS: Final = 2 * 1024**3


def store_baseline(path: Path, raw: bytes) -> None:
    """Write `raw` to `path`; DependencyError `baseline.write` where that fails."""
    try:
        write_whole(path, lambda temporary: _write(temporary, raw))
    except OSError as error:
        raise DependencyError("baseline.write", f"{path} cannot be written: {error}") from error


def load_baseline(path: Path) -> bytes:
    """Return the bytes of a baseline; InputError `baseline.read` where there is none."""
    try:
        if path.stat().st_size > _MOST_OCTETS:
            raise InputError("baseline.read", "too large for a baseline", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            "baseline.read",
            f"cannot be read: {error.strerror}",
            where=str(path),
            hint="make one with meshwarden behaviour learn",
        ) from error


def _write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
