"""`meshwarden admission`: the gate as a validating admission webhook, until SIGTERM or Ctrl-C."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.serialization import Encoding
from cyclopts import App

from meshwarden.adapters.chance import SystemChance
from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.envoy.admission import render_admission
from meshwarden.adapters.envoy.bootstrap import envoy_command
from meshwarden.adapters.storage.webhook import (
    load_or_create_webhook_authority,
    store_server_certificate,
)
from meshwarden.cli.gate import all_rules, load_settings
from meshwarden.cli.log_lines import log_to_stderr
from meshwarden.console.admission_api import serving_webhook
from meshwarden.control.gate import Evaluator, selected
from meshwarden.control.gate.admission import Admitter
from meshwarden.identity.webhook import WebhookAuthority, issue_server
from meshwarden.kernel import ConfigError, DependencyError
from meshwarden.policy.gate.webhook import webhook_configuration

app = App(
    name="admission",
    help="The gate as a validating admission webhook, behind an Envoy of its own.",
    help_epilogue="Example: meshwarden admission --name gate.meshwarden-system.svc"
    " --state /var/lib/meshwarden",
    help_format="plaintext",
    result_action="return_value",
)

LOOK_S: Final = 30.0
LIMIT_S: Final = 5.0
"""For one object: the API server waits ten seconds."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\.[a-z0-9]([-a-z0-9]*[a-z0-9])?\.svc")
_LISTEN = re.compile(r"(?P<host>[0-9.]+|\[[0-9a-f:]+\]):(?P<port>[0-9]{1,5})")
_log = structlog.get_logger()


@app.default
def admission(
    *,
    name: str = "meshwarden.meshwarden-system.svc",
    listen: str = "0.0.0.0:8443",
    state: Path = Path(".meshwarden"),
    config: Path | None = None,
    rules: tuple[Path, ...] = (),
) -> int:
    """Serve AdmissionReviews over HTTPS, judged as `meshwarden gate` judges.

    Writes webhook.json, the ValidatingWebhookConfiguration to apply, into the state directory.

    Args:
        name: DNS name of the service: <service>.<namespace>.svc; that namespace is exempt.
        listen: address and port.
        state: directory for the CA, the certificate and sockets.
        config: the gate's configuration; its part `admission` sets modes by namespace.
        rules: folder of rules of your own; may be given several times.
    """
    os.umask(0o077)
    log_to_stderr()
    where = _LISTEN.fullmatch(listen)
    if not _NAME.fullmatch(name) or where is None:
        hint = "--name gate.my-namespace.svc --listen 0.0.0.0:8443"
        raise ConfigError("admission.name", "not a service name and an address", hint=hint)
    settings = load_settings(config)
    folder = state.absolute() / "admission"
    clock, chance = SystemClock(), SystemChance()
    authority = load_or_create_webhook_authority(
        folder, name, now=clock.now(), draw_serial=chance.serial
    )
    ca = authority.certificate.public_bytes(Encoding.PEM).decode()
    (folder / "webhook.json").write_text(json.dumps(webhook_configuration(name, ca), indent=1))
    with Evaluator(selected(all_rules(rules), settings), settings, limit_s=LIMIT_S) as evaluator:
        evaluator.warm()
        admitter = Admitter(
            evaluator=evaluator,
            settings=settings,
            clock=clock,
            own_namespace=name.split(".")[1],
        )
        host, port = where["host"].strip("[]"), int(where["port"])
        return asyncio.run(_serve(admitter, authority, folder, (host, port), chance.serial))


async def _serve(
    admitter: Admitter,
    authority: WebhookAuthority,
    folder: Path,
    listen: tuple[str, int],
    draw_serial: Callable[[], int],
) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    due = _renew(authority, folder, admitter.clock.now(), draw_serial)
    bootstrap = render_admission(
        host=listen[0],
        port=listen[1],
        secret=folder / "webhook-secret.json",
        socket=folder / "webhook.sock",
        admin_socket=folder / "envoy-admin.sock",
    )
    (folder / "envoy.json").write_text(json.dumps(bootstrap))
    async with serving_webhook(admitter, folder / "webhook.sock"):
        envoy = await asyncio.create_subprocess_exec(
            *envoy_command(folder / "envoy.json"), stdin=asyncio.subprocess.DEVNULL
        )
        ended = asyncio.create_task(envoy.wait())
        stop = asyncio.create_task(stopped.wait())
        _log.info("admission_started", listen=f"{listen[0]}:{listen[1]}", name=authority.name)
        try:
            while not (stop.done() or ended.done()):
                await asyncio.wait({ended, stop}, timeout=LOOK_S, return_when="FIRST_COMPLETED")
                if admitter.clock.now() >= due:
                    due = _renew(authority, folder, admitter.clock.now(), draw_serial)
        finally:
            stop.cancel()
            if not ended.done():
                envoy.terminate()
            await ended
    if not stopped.is_set():
        raise DependencyError("admission.envoy", "Envoy ended", hint="its output says why")
    return 0


def _renew(
    authority: WebhookAuthority, folder: Path, now: datetime, draw_serial: Callable[[], int]
) -> datetime:
    """Issue a certificate and put it in Envoy's place; return when the next is due."""
    issued = issue_server(authority, now=now, serial=draw_serial())
    store_server_certificate(folder, issued)
    _log.info("certificate_issued", not_after=issued.not_after.isoformat())
    return max(issued.renew_at, now + timedelta(seconds=LOOK_S))
