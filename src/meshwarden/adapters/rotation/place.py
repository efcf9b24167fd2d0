"""A secret's file and its neighbours, in a directory that a suspect may write.

Nothing here follows a symbolic link, opens what is no regular file, or writes to a name that was
there before: whoever owns the directory can only have its own files replaced.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.kernel import DependencyError

MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Mode and owner of a file: what a new one gets."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Folder:
    """An open directory, and how it is called in errors."""

    descriptor: int
    path: Path

    def read(self, name: str) -> tuple[bytes, Whose] | None:
        """Return content and owner of the regular file `name`; None where there is none."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
                raise DependencyError("rotate.file", f"{self.path / name} is no file of a secret")
            whose = Whose(mode=stat.S_IMODE(found.st_mode), uid=found.st_uid, gid=found.st_gid)
            return file.read(MAX_BYTES + 1), whose

    def write(self, name: str, content: bytes, whose: Whose) -> None:
        """Put `content` in the place of `name`, at once and durably."""
        draft = f".{name}.{os.getpid()}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=self.descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600, dir_fd=self.descriptor)
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0:
                os.fchown(descriptor, whose.uid, whose.gid)
            os.fchmod(descriptor, whose.mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(draft, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        os.fsync(self.descriptor)

    def remove(self, name: str) -> None:
        """Remove `name`, also where it is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)
        os.fsync(self.descriptor)


@contextlib.contextmanager
def folder_of(path: Path) -> Iterator[Folder]:
    """Open the directory of `path`; what the disk refuses is DependencyError `rotate.file`."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield Folder(descriptor, path.parent)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DependencyError("rotate.file", f"{path}: {error.strerror}") from error
