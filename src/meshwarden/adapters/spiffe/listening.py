"""The Workload API's Unix socket: in a directory that is ours, in the place of nobody's."""

import os
import socket
import stat
from pathlib import Path
from typing import Final

from meshwarden.kernel import ConfigError, DependencyError, StateError

BACKLOG: Final = 1024


def open_socket(path: Path) -> socket.socket:
    """Return a listening Unix socket at `path` that every account may connect to.

    Raises:
        ConfigError: `workload.directory` where another account could replace the socket.
        StateError: `workload.socket_taken` where something else is at that place.
        DependencyError: `workload.socket` where the socket cannot be made.
    """
    _require_directory(path.parent)
    _require_free(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.setblocking(False)
    try:
        listening.bind(str(path))
        path.chmod(0o666)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise DependencyError(
            "workload.socket", f"the Workload API cannot listen on {path}: {error.strerror}"
        ) from error
    return listening


def _require_directory(directory: Path) -> None:
    try:
        found = directory.stat()
    except OSError as error:
        raise DependencyError(
            "workload.socket", f"the directory {directory} cannot be used: {error.strerror}"
        ) from error
    if found.st_mode & 0o022 or found.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(
            "workload.directory",
            f"the Workload API does not listen in {directory}: mode"
            f" {stat.S_IMODE(found.st_mode):o}, user {found.st_uid}; another account could put its"
            " own socket there",
            hint=f"chmod go-w {directory}, owned by the account that runs meshwarden",
        )


def _require_free(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else that is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise _taken(path, "which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:
            pass
    raise _taken(path, "where another process listens")


def _taken(path: Path, why: str) -> StateError:
    return StateError(
        "workload.socket_taken", f"the Workload API cannot listen on {path}, {why}",
        hint="stop it, or remove the file",
    )  # fmt: skip
