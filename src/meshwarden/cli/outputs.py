"""Where findings go besides the terminal: options that several commands share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.export import JsonLinesFile, Outlet, Syslog, Webhook, parse_receiver
from meshwarden.identity import Secret
from meshwarden.kernel import ConfigError

_LONGEST_SECRET = 4096


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where findings go, as OCSF Detection Findings.

    Attributes:
        ocsf: append them to this file, one JSON object a line.
        webhook: POST each to this URL.
        webhook_secret: file with the secret that signs the requests (HMAC-SHA-256).
        syslog: send each to udp://host:514, tcp://host:601 or unix:///dev/log (RFC 5424).
    """

    ocsf: Path | None = None
    webhook: str | None = None
    webhook_secret: Path | None = None
    syslog: str | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.ocsf or self.webhook or self.syslog)


@asynccontextmanager
async def opened(outputs: Outputs) -> AsyncIterator[list[tuple[str, Outlet]]]:
    """Give each outlet with a short name for its cursor; ConfigError where one is not usable."""
    if outputs.webhook_secret and not outputs.webhook:
        raise ConfigError("export.webhook", "--webhook-secret without --webhook", hint="give both")
    async with AsyncExitStack() as stack:
        found: list[tuple[str, Outlet]] = []
        if outputs.ocsf:
            found.append(("ocsf", JsonLinesFile(outputs.ocsf)))
        if outputs.webhook:
            secret = _secret(outputs.webhook_secret)
            webhook = Webhook(outputs.webhook, secret=secret, clock=SystemClock())
            stack.push_async_callback(webhook.close)
            found.append(("webhook", webhook))
        if outputs.syslog:
            syslog = Syslog(parse_receiver(outputs.syslog))
            stack.push_async_callback(syslog.close)
            found.append(("syslog", syslog))
        yield found


def _secret(path: Path | None) -> Secret | None:
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LONGEST_SECRET).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("export.secret", f"{path} cannot be read: {error}") from error
    if not text:
        raise ConfigError("export.secret", f"{path} is empty", hint=f"fill it: {_EXAMPLE}{path}")
    return Secret(text)


_EXAMPLE = "openssl rand -hex 32 > "
