"""Asks a sidecar's administration interface, which is a Unix socket of its own directory."""

import http.client
import re
import socket
from pathlib import Path
from typing import Final
from urllib.parse import quote

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


def ask(admin: Path, method: str, path: str) -> bytes:
    """Return the answer to one request; DependencyError `sidecar.admin` where there is none."""
    connection = _UnixConnection(admin)
    try:
        connection.request(method, path, headers={"content-length": "0"})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise DependencyError(
            "sidecar.admin", f"{admin} does not answer: {error}", retry_after_s=1
        ) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise DependencyError("sidecar.admin", f"{admin} answered {answer.status}", retry_after_s=1)
    return body


def failed_log_writes(admin: Path) -> int:
    """Return how often the sidecar could not write to its access log since it started.

    Each time at least one entry is lost, and nobody else knows of it. DependencyError as `ask`.
    """
    body = ask(admin, "GET", "/stats?filter=^filesystem\\.write_failed$")
    count = body.decode("ascii", "replace").rpartition(":")[2].strip()
    if not count.isdigit():
        raise DependencyError("sidecar.admin", f"{admin} has no counter of failed log writes")
    return int(count)


def undecided_requests(admin: Path) -> int:
    """Return how many requests the sidecar refused since it started for want of a decision.

    DependencyError as `ask`.
    """
    body = ask(admin, "GET", "/stats?filter=^http\\..*\\.ext_authz\\.error$").decode(
        "ascii", "replace"
    )
    counts = [line.rpartition(":")[2].strip() for line in body.splitlines()]
    return sum(int(count) for count in counts if count.isdigit())


def octets_carried(admin: Path, prefix: str) -> int:
    """Return the octets that the border has sent on over the passages that begin with `prefix`.

    DependencyError as `ask`.
    """
    wanted = quote(f"^cluster\\.{re.escape(prefix)}.*\\.upstream_cx_tx_bytes_total$")
    body = ask(admin, "GET", f"/stats?filter={wanted}").decode("ascii", "replace")
    counts = [line.rpartition(":")[2].strip() for line in body.splitlines()]
    return sum(int(count) for count in counts if count.isdigit())
