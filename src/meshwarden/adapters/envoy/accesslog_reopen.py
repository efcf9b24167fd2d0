"""Asks a sidecar to open its access log anew, after the file was renamed away."""

import http.client
import socket
from pathlib import Path
from typing import Final

from meshwarden.kernel import DependencyError

_TIMEOUT_S: Final = 2.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("admin", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


def reopen_logs(admin: Path) -> None:
    """Let the sidecar whose admin socket is `admin` reopen its logs.

    It closes the old file before it opens the new one: once the new file is there, the old one is
    complete. DependencyError `sidecar.admin` where it does not answer.
    """
    connection = _UnixConnection(admin)
    try:
        connection.request("POST", "/reopen_logs", headers={"content-length": "0"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise DependencyError(
            "sidecar.admin", f"{admin} does not answer: {error}", retry_after_s=1
        ) from error
    finally:
        connection.close()
    if status != 200:
        raise DependencyError("sidecar.admin", f"{admin} answered {status}", retry_after_s=1)
