"""Findings as OCSF events to an HTTP endpoint, signed, with bounded retries.

Each request carries one event. `X-Meshwarden-Signature: t=<seconds>,v1=<hex>` is the HMAC-SHA-256,
under the shared secret, of `<seconds>.<body>`: a receiver recomputes it, compares in constant time,
and refuses old times. `X-Meshwarden-Delivery` is the event's uid, by which a repeated delivery is
known. Only 2xx counts as delivered; redirects are not followed, since they could lead elsewhere.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import httpx

from meshwarden.adapters.ocsf import render_detection, uid_of
from meshwarden.identity import Secret
from meshwarden.kernel import Clock, ConfigError, DependencyError, Finding

TRIES: Final = 5
_FIRST_PAUSE_S: Final = 0.5
_TIMEOUT_S: Final = 10.0
_AGAIN_S: Final = 30.0


def sign(secret: Secret, *, time_s: int, body: bytes) -> str:
    """Return the value of X-Meshwarden-Signature."""
    signed = f"{time_s}.".encode() + body
    digest = hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()
    return f"t={time_s},v1={digest}"


class Webhook:
    """Sends to `url`.

    Args:
        url: http or https, without credentials.
        secret: shared with the receiver; None: requests are not signed.
        clock: time of day.
        pause: waits so many seconds.
        transport: another way to send than the network.

    Raises:
        ConfigError: `export.webhook` for a URL that is none of these.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: Secret | None,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = _origin_of(url)
        self.address = url
        self._secret = secret
        self._clock = clock
        self._pause = pause
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S, transport=transport)

    async def deliver(self, finding: Finding) -> None:
        """See Outlet; tries `TRIES` times, with pauses that double."""
        body = json.dumps(render_detection(finding), separators=(",", ":")).encode()
        why = ""
        for attempt in range(TRIES):
            if attempt:
                await self._pause(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            why = await self._try(body, uid_of(finding))
            if not why:
                return
        raise DependencyError(
            "export.webhook", f"{self.name} did not take a finding: {why}", retry_after_s=_AGAIN_S
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _try(self, body: bytes, uid: str) -> str:
        """Return why it was not delivered; empty where it was."""
        headers = {"content-type": "application/json", "x-meshwarden-delivery": uid}
        if self._secret is not None:
            now = int(self._clock.now().timestamp())
            headers["x-meshwarden-signature"] = sign(self._secret, time_s=now, body=body)
        try:
            response = await self._client.post(self.address, content=body, headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if response.is_success else f"HTTP {response.status_code}"


def _origin_of(url: str) -> str:
    """Return scheme, host and port: what follows them may be a secret of the receiver's."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none, half a bracket
        usable = False
    if not usable or "@" in parts.netloc:
        raise ConfigError(
            "export.webhook", "the webhook is no http or https URL without credentials"
        )
    return f"{parts.scheme}://{parts.netloc}"
