"""Where findings go besides the terminal: options that several commands share."""

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where findings go, as OCSF Detection Findings.

    Attributes:
        ocsf: append findings to this file, one JSON object a line.
        webhook: POST each finding to this URL.
        webhook_secret: file with the secret that signs the requests (HMAC-SHA-256).
        syslog: send each finding to udp://host:514, tcp://host:601 or unix:///dev/log (RFC 5424).
    """

    ocsf: Path | None = None
    webhook: str | None = None
    webhook_secret: Path | None = None
    syslog: str | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.ocsf or self.webhook or self.syslog)
