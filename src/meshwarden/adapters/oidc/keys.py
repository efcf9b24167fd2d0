"""The keys of an identity provider: fetched, cached, refreshed, and refused once they are too old.

- A `kid` that is not known has the set fetched again, at most `TRIES` times in `TRIES_S`: rotation
  is seen at once, and an attacker's made-up names cost the provider next to nothing.
- While the provider does not answer, the last good set stands until it is `max_age_s` old; then
  nothing of it holds any more.
- One fetch at a time; answers are bounded in size and time; redirects are not followed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import httpx
import structlog

from meshwarden.adapters.oidc.codec import discovery_urls, is_usable, parse_discovery
from meshwarden.kernel import Clock, DependencyError, InputError
from meshwarden.tokens import Issuer, VerificationKey, parse_jwks
from meshwarden.tokens.jwks import MAX_JWKS_BYTES

REFRESH_S: Final = 300.0
TRIES: Final = 4
TRIES_S: Final = 30.0
TIMEOUT_S: Final = 5.0
_log = structlog.get_logger()


class IssuerKeys:
    """The signature keys of one issuer."""

    def __init__(self, issuer: Issuer, client: httpx.AsyncClient, clock: Clock) -> None:
        self.issuer = issuer
        self._client = client
        self._clock = clock
        self._keys: Mapping[str, VerificationKey] = {}
        self._fetched: datetime | None = None
        self._tried: deque[datetime] = deque(maxlen=TRIES)
        self._fetching = asyncio.Lock()
        self._background: asyncio.Task[None] | None = None

    def known(self, kid: str) -> VerificationKey | None:
        """Return a key that is at hand and fresh enough not to ask anyone."""
        age = self._age(self._fetched)
        fresh_s = min(REFRESH_S, self.issuer.keys_max_age_s / 2)
        return self._keys.get(kid) if age is not None and age < fresh_s else None

    async def keys(self, kid: str) -> Mapping[str, VerificationKey]:
        """Return the issuer's keys by `kid`, fetched anew where they are old or lack `kid`.

        Raises:
            DependencyError: `token.issuer_keys` where they cannot be had and the last are too old.
        """
        if self.known(kid) is None:
            if kid in self._keys and not self._too_old():
                self._refresh_soon(kid)  # nobody waits for a provider that may be down
            else:
                await self._refresh_once(kid)
        if self._too_old():
            raise DependencyError(
                "token.issuer_keys",
                f"the keys of {self.issuer.issuer} cannot be fetched, and none that are kept are"
                f" younger than {self.issuer.keys_max_age_s} s",
                retry_after_s=TRIES_S / TRIES,
            )
        return self._keys

    async def begin(self) -> bool:
        """Fetch for the first time, so that nobody has to wait for it; return whether it is done.

        It is asked for as often as wanted, and counts for nothing in what unknown names may cause.
        """
        async with self._fetching:
            if self._fetched is None:
                with contextlib.suppress(DependencyError, InputError):  # the next look
                    self._keys, self._fetched = await self._fetch(), self._clock.now()
        return self._fetched is not None

    def _too_old(self) -> bool:
        age = self._age(self._fetched)
        return age is None or age > self.issuer.keys_max_age_s

    def _refresh_soon(self, kid: str) -> None:
        if self._background is None or self._background.done():
            self._background = asyncio.create_task(self._refresh_once(kid))

    async def _refresh_once(self, kid: str) -> None:
        async with self._fetching:
            if self.known(kid) is None:
                await self._refresh(kid)

    async def _refresh(self, kid: str) -> None:
        oldest = self._age(self._tried[0]) if len(self._tried) == TRIES else None
        if oldest is not None and 0 <= oldest < TRIES_S:
            return
        self._tried.append(self._clock.now())
        try:
            found = await self._fetch()
        except (DependencyError, InputError) as error:
            _log.warning("issuer_keys_not_fetched", issuer=self.issuer.issuer, error=str(error))
            return
        self._keys, self._fetched = found, self._clock.now()
        if kid not in found:
            _log.info("unknown_key_asked_for", issuer=self.issuer.issuer)

    async def _fetch(self) -> Mapping[str, VerificationKey]:
        url = self.issuer.jwks_url or await self._discover()
        return parse_jwks(await self._get(url), where=url)

    async def _discover(self) -> str:
        first, second = discovery_urls(self.issuer.issuer)
        try:
            raw = await self._get(first)
        except DependencyError:
            raw = await self._get(second)
        return parse_discovery(raw, self.issuer.issuer)

    async def _get(self, url: str) -> bytes:
        if not is_usable(url):
            raise InputError("discovery.url", "is no https URL", where=url)
        raw = b""
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._client.stream("GET", url, headers={"accept": "application/json"}) as answer,
            ):
                if answer.status_code != 200:
                    raise DependencyError("oidc.status", f"{url} answers {answer.status_code}")
                async for part in answer.aiter_bytes():
                    raw += part
                    if len(raw) > MAX_JWKS_BYTES:
                        raise InputError("jwks.size", "answers too much", where=url)
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise DependencyError("oidc.unreachable", f"{url} does not answer: {error}") from error
        return raw

    def _age(self, moment: datetime | None) -> float | None:
        return None if moment is None else (self._clock.now() - moment).total_seconds()
