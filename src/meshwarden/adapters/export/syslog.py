"""Findings as RFC 5424 syslog messages over UDP, TCP or a Unix socket.

The message is the OCSF event as ASCII JSON; MSGID is the finding's code. TCP frames by octet
counting (RFC 6587, 3.4.1). Syslog acknowledges nothing: over UDP a lost datagram is not noticed,
over TCP what the receiver had not read when the connection broke is not either.
"""

import asyncio
import json
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from meshwarden.adapters.ocsf import render_detection
from meshwarden.kernel import ConfigError, DependencyError, Finding, Severity

_FACILITY: Final = 13  # log audit
_LEVEL: Final = {Severity.LOW: 5, Severity.MEDIUM: 4, Severity.HIGH: 3, Severity.CRITICAL: 2}
_NOT_PRINTABLE: Final = re.compile(r"[^!-~]")
_TIMEOUT_S: Final = 5.0
_AGAIN_S: Final = 5.0
_MAX_DATAGRAM: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Where messages go: `udp` or `tcp` to host and port, `unix` to a path."""

    kind: str
    host: str = ""
    port: int = 514
    path: str = ""


def parse_receiver(text: str) -> Receiver:
    """Return the receiver of `udp://host:514`, `tcp://host:601` or `unix:///dev/log`; ConfigError.

    >>> parse_receiver("tcp://siem.example").port
    601
    """
    try:
        parts = urlsplit(text)
        port = parts.port or (601 if parts.scheme == "tcp" else 514)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme in {"udp", "tcp"} and parts.hostname:
        return Receiver(kind=parts.scheme, host=parts.hostname, port=port)
    if parts.scheme == "unix" and parts.path:
        return Receiver(kind="unix", path=parts.path)
    raise ConfigError(
        "export.syslog", f"{text[:80]!r} is no syslog receiver",
        hint="udp://host:514, tcp://host:601 or unix:///dev/log",
    )  # fmt: skip


def render_syslog(finding: Finding, *, host: str) -> bytes:
    """Return one RFC 5424 message, without any framing."""
    priority = _FACILITY * 8 + _LEVEL[finding.severity]
    seconds, rest = divmod(finding.time, 1_000_000_000)
    moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
    event = json.dumps(render_detection(finding), separators=(",", ":"), ensure_ascii=True)
    header = f"<{priority}>1 {moment} {_name(host, 255)} meshwarden - {_name(finding.code, 32)} -"
    return f"{header} {event}".encode("ascii")


class Syslog:
    """Sends to `receiver`; the connection is made when it is needed, and again when it broke."""

    def __init__(self, receiver: Receiver, *, host: str | None = None) -> None:
        self._receiver = receiver
        self._host = host or socket.gethostname()
        self._socket: socket.socket | None = None
        at = receiver.path or f"{receiver.host}:{receiver.port}"
        self.name = self.address = f"syslog {receiver.kind} {at}"

    async def deliver(self, finding: Finding) -> None:
        """See Outlet."""
        message = render_syslog(finding, host=self._host)
        try:
            await asyncio.to_thread(self._send, message)
        except OSError as error:
            await self.close()
            raise DependencyError(
                "export.syslog", f"{self.name} does not take messages: {error}",
                retry_after_s=_AGAIN_S,
            ) from error  # fmt: skip

    async def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: bytes) -> None:
        if self._socket is None:
            self._socket = self._connected()
        if self._receiver.kind == "tcp":
            self._socket.sendall(b"%d " % len(message) + message)
        else:
            self._socket.send(message[:_MAX_DATAGRAM])

    def _connected(self) -> socket.socket:
        receiver = self._receiver
        if receiver.kind == "tcp":
            return socket.create_connection((receiver.host, receiver.port), timeout=_TIMEOUT_S)
        if receiver.kind == "unix":
            return _connect(socket.AF_UNIX, receiver.path)
        found = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_DGRAM)
        return _connect(found[0][0], found[0][4])


def _connect(family: int, address: str | tuple[object, ...]) -> socket.socket:
    end = socket.socket(family, socket.SOCK_DGRAM)
    end.settimeout(_TIMEOUT_S)
    try:
        end.connect(address)
    except OSError:
        end.close()
        raise
    return end


def _name(text: str, longest: int) -> str:
    return _NOT_PRINTABLE.sub("?", text)[:longest] or "-"
