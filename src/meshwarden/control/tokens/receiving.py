"""Receives security events: verified, on the disk, in force, and only then acknowledged."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from meshwarden.adapters.oidc.keys import IssuerKeys
from meshwarden.adapters.storage.tokens.signals import mark_applied, store_received
from meshwarden.control.tokens.keeping import revocation
from meshwarden.control.tokens.service import TokenService
from meshwarden.tokens import Issuer, RevokedKind, TokenError, UnverifiedToken
from meshwarden.tokens.jws import Parsed, parse_compact
from meshwarden.tokens.signals.model import ErrorCode, EventType, SecurityEvent, SetError
from meshwarden.tokens.signals.react import reaction
from meshwarden.tokens.signals.verify import verify_set

MAX_SET_BYTES: Final = 16 * 1024
_log = structlog.get_logger()
Contain = Callable[[], Awaitable[object]]


async def _nothing() -> None:
    """Tell nobody: there are no proxies."""


@dataclass(kw_only=True)
class Receiver:
    """Takes the events of configured issuers.

    Attributes:
        service: whose tokens they concern.
        contain: tells every hop what is revoked now.
    """

    service: TokenService
    contain: Contain = _nothing
    _keys: dict[str, IssuerKeys] = field(default_factory=dict)

    @property
    def audience(self) -> str:
        """Our name as a receiver."""
        return f"{self.service.policy.issuer}/ssf"

    async def take(self, unverified: UnverifiedToken) -> SetError | None:
        """Take a pushed event; return why it is not taken.

        Raises:
            DependencyError: where it cannot be kept: the transmitter shall try again.
        """
        now = self.service.clock.now()
        try:
            parsed = parse_compact(unverified, max_bytes=MAX_SET_BYTES)
        except TokenError as error:
            return SetError(err=ErrorCode.INVALID_REQUEST, description=error.why)
        issuer = self._issuer_of(parsed)
        if issuer is None:
            return SetError(
                err=ErrorCode.INVALID_ISSUER, description="the issuer is not configured"
            )
        event = await self._verified(parsed, issuer, now)
        if isinstance(event, SetError):
            return event
        found = reaction(event, prefix=issuer.prefix, token_issuer=issuer.issuer)
        if await asyncio.to_thread(self._store, event, found, now):
            await self._apply(event, found)
        return None

    async def _verified(
        self, parsed: Parsed, issuer: Issuer, now: datetime
    ) -> SecurityEvent | SetError:
        name = issuer.signals or issuer.issuer
        keys = await self._keys_of(issuer).keys(str(parsed.header.get("kid", "")))
        return verify_set(parsed, keys, issuer=name, audience=self.audience, now=now)

    async def _apply(
        self, event: SecurityEvent, found: tuple[RevokedKind, str, datetime] | None
    ) -> None:
        _log.warning("security_event", type=event.type.name.lower(), acted=found is not None)
        if event.type is not EventType.VERIFICATION and found is not None:
            kind, value, time = found
            reason = f"{event.type.name.lower()} from {event.issuer}"
            await self.service.keeping.revoke([revocation(kind, value, time=time, reason=reason)])
            await self.contain()
        await asyncio.to_thread(
            mark_applied, self.service.database, issuer=event.issuer, jti=event.jti
        )

    def _store(
        self, event: SecurityEvent, found: tuple[RevokedKind, str, datetime] | None, now: datetime
    ) -> bool:
        return store_received(
            self.service.database,
            issuer=event.issuer,
            jti=event.jti,
            time=now.timestamp(),
            event=event.type.value,
            subject="" if found is None else f"{found[0].value}:{found[1]}",
        )

    def _issuer_of(self, parsed: Parsed) -> Issuer | None:
        name = parsed.unverified_claims.get("iss")
        configured = self.service.policy.issuers.values()
        return next((one for one in configured if (one.signals or one.issuer) == name), None)

    def _keys_of(self, issuer: Issuer) -> IssuerKeys:
        if issuer.signals is None:
            return self.service.subjects.keys_of(issuer.issuer)
        transmitter = replace(issuer, issuer=issuer.signals, jwks_url=None)
        held = self._keys.get(issuer.signals)
        if held is None or held.issuer != transmitter:
            held = IssuerKeys(transmitter, self.service.subjects.client, self.service.clock)
            self._keys[issuer.signals] = held
        return held
