"""A model's state as one file: replaced whole, read bounded."""

import contextlib
from pathlib import Path
from typing import Final

from meshwarden.adapters.storage.durable import sync_folder, write_whole
from meshwarden.kernel import DependencyError, InputError

MAX_BYTES: Final = 2 * 1024**3


class FileModelState:
    """The state in the file `path`, whose folder is made where it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load_state(self) -> bytes | None:
        """Return the state, None where none was kept.

        Raises:
            InputError: `behaviour.state` where it cannot be read or is larger than any state is.
        """
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise InputError(
                    "behaviour.state", "larger than any model's state", where=str(self.path)
                )
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(
                "behaviour.state", f"cannot be read: {error.strerror}", where=str(self.path)
            ) from error

    def store_state(self, state: bytes) -> None:
        """Keep `state` in the place of what was kept; DependencyError where the disk refuses."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.path, lambda target: _write(target, state), replaces=True)
        except OSError as error:
            raise DependencyError(
                "behaviour.state", f"{self.path} cannot be written: {error.strerror}"
            ) from error

    def set_aside(self) -> None:
        """Take a state that is not usable out of the way, for whoever wants to look at it."""
        with contextlib.suppress(OSError):
            self.path.replace(self.path.with_suffix(".damaged"))
            sync_folder(self.path.parent)


def _write(path: Path, state: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(state)
