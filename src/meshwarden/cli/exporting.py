"""Sends stored findings where a command's options say, while it runs and once at its end."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.export import JsonLinesFile, Outlet, Syslog, Webhook, parse_receiver
from meshwarden.adapters.export.cursor import Cursor
from meshwarden.cli.outputs import Outputs
from meshwarden.control.exporting import export, keep_exporting
from meshwarden.identity import Secret
from meshwarden.kernel import ConfigError, DependencyError

STORE: Final = "findings.jsonl"
_LAST_S: Final = 5.0  # how long the end of a command waits for outlets
_LONGEST_SECRET: Final = 4096
_EXAMPLE: Final = "openssl rand -hex 32 > "


@asynccontextmanager
async def exporting(outputs: Outputs, state: Path) -> AsyncIterator[None]:
    """Send what is found in `state` while the context lasts, and what is left at its end.

    Raises:
        ConfigError: where an outlet is not usable.
    """
    async with opened(outputs) as outlets:
        ways = [(export_cursor(state, name, outlet), outlet) for name, outlet in outlets]
        tasks = [
            asyncio.create_task(keep_exporting(state / STORE, cursor, outlet, failed=_say))
            for cursor, outlet in ways
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            await _send_rest(ways, state / STORE)


async def export_once(outputs: Outputs, state: Path) -> dict[str, int]:
    """Send what was not sent yet; return how many findings went to each outlet.

    Raises:
        ConfigError: where an outlet is not usable.
        DependencyError: where one refuses.
    """
    async with opened(outputs) as outlets:
        return {
            outlet.name: await export(state / STORE, export_cursor(state, name, outlet), outlet)
            for name, outlet in outlets
        }


async def _send_rest(ways: list[tuple[Cursor, Outlet]], store: Path) -> None:
    for cursor, outlet in ways:
        try:
            async with asyncio.timeout(_LAST_S):
                await export(store, cursor, outlet)
        except DependencyError as error:
            _say(error)
        except TimeoutError:
            print(f"meshwarden: {outlet.name} is too slow; the next run goes on", file=sys.stderr)


def export_cursor(state: Path, name: str, outlet: Outlet) -> Cursor:
    """Return where this outlet stands; another address is another outlet.

    An address may hold a secret: only its digest is kept.
    """
    digest = hashlib.sha256(outlet.address.encode()).hexdigest()[:12]
    return Cursor(state / "export" / f"{name}-{digest}.json")


def _say(error: DependencyError) -> None:
    print(f"meshwarden: {error}; it is tried again", file=sys.stderr)


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
