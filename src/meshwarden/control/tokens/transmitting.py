"""Transmits what we find as security events: durable until taken, in order, tried again.

What waits is bounded for each stream, and so is how often it is tried; a receiver that refuses an
event (400) does not get it again (RFC 8935, section 2.4), one that does not answer does.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import httpx
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from meshwarden.adapters.storage.tokens.database import Database
from meshwarden.adapters.storage.tokens.keys import shared_secret
from meshwarden.adapters.storage.tokens.signals import (
    Waiting,
    load_due,
    load_streams,
    post,
    put_off,
    remove_stream,
    sent,
    store_stream,
)
from meshwarden.kernel import Chance, Clock, InputError, StateError
from meshwarden.tokens import SigningKey, create_key, render_jwks, restore_key
from meshwarden.tokens.signals.model import EventType
from meshwarden.tokens.signals.streams import MIN_VERIFICATION_S, Stream, StreamStatus
from meshwarden.tokens.signals.transmit import render_event

ALGORITHM: Final = "RS256"  # the interoperability profile of SSF asks for it
MAX_WAITING: Final = 1000
MAX_STREAMS: Final = 64
MAX_ATTEMPTS: Final = 12
TIMEOUT_S: Final = 5.0
_log = structlog.get_logger()


@dataclass(kw_only=True)
class Transmitter:
    """Streams and what they carry.

    Attributes:
        database: where both are kept.
        client: pushes events.
        clock: the time of day.
        chance: ids of events and streams.
        issuer: our name as a transmitter.
    """

    database: Database
    client: httpx.AsyncClient
    clock: Clock
    chance: Chance
    issuer: str
    _key: SigningKey | None = field(init=False, default=None)
    _streams: dict[str, Stream] = field(init=False, default_factory=dict)

    def open(self) -> None:
        """Read streams and the key from the store; DependencyError."""
        self._key = _load_key(self.database, self.clock.now())
        self._streams = {one.stream_id: one for one in load_streams(self.database)}

    @property
    def jwks(self) -> str:
        """The JWK Set of what verifies our events."""
        return render_jwks([self._signing().public])

    def of(self, owner: str) -> list[Stream]:
        """Return the streams of a receiver."""
        return [one for one in self._streams.values() if one.owner == owner]

    def find(self, owner: str, stream_id: str | None) -> Stream:
        """Return a receiver's own stream; InputError `stream.unknown`."""
        found = self._streams.get(stream_id or "")
        if found is None or found.owner != owner:
            raise InputError("stream.unknown", "no stream of yours has that id", where="stream_id")
        return found

    async def keep(self, stream: Stream) -> None:
        """Take a new or changed stream; StateError `stream.many`."""
        if stream.stream_id not in self._streams and len(self._streams) >= MAX_STREAMS:
            raise StateError("stream.many", f"there are {MAX_STREAMS} streams already")
        await asyncio.to_thread(store_stream, self.database, stream)
        self._streams[stream.stream_id] = stream

    async def remove(self, stream: Stream) -> None:
        """Forget a stream."""
        await asyncio.to_thread(remove_stream, self.database, stream.stream_id)
        self._streams.pop(stream.stream_id, None)

    async def verify(self, stream: Stream, state: str | None) -> bool:
        """Send a verification event; return False where one was asked for a moment ago."""
        now = int(self.clock.now().timestamp())
        if now - stream.verified_at < MIN_VERIFICATION_S:
            return False
        await self.keep(replace(stream, verified_at=now))
        subject = {"format": "opaque", "id": stream.stream_id}
        details = {} if state is None else {"state": state}
        await self._post(stream, EventType.VERIFICATION, details, subject, None)
        return True

    async def emit(
        self,
        event: EventType,
        details: Mapping[str, Any],
        sub_id: Mapping[str, Any],
        *,
        transaction: str | None = None,
    ) -> int:
        """Have an event sent on every stream that wants it; return on how many."""
        wanting = [one for one in self._streams.values() if one.wants(event.value, sub_id)]
        for stream in wanting:
            await self._post(stream, event, details, sub_id, transaction)
        return len(wanting)

    async def look(self) -> None:
        """Send what is due; DependencyError where the store cannot be used."""
        now = self.clock.now().timestamp()
        for one in await asyncio.to_thread(load_due, self.database, now=now):
            stream = self._streams.get(one.stream_id)
            if stream is None or stream.status is StreamStatus.DISABLED:
                await asyncio.to_thread(sent, self.database, one.id)
            elif stream.status is StreamStatus.ENABLED:
                await self._push(stream, one)

    async def _push(self, stream: Stream, one: Waiting) -> None:
        headers = {"content-type": "application/secevent+jwt", "accept": "application/json"}
        if stream.authorization is not None:
            headers["authorization"] = stream.authorization
        status = 0
        try:
            answer = await self.client.post(
                stream.endpoint_url, content=one.token, headers=headers, timeout=TIMEOUT_S
            )
            status = answer.status_code
        except httpx.HTTPError as error:
            _log.info("event_not_sent", stream=stream.stream_id, error=type(error).__name__)
        if status in {200, 202, 400} or one.attempts + 1 >= MAX_ATTEMPTS:
            if status not in {200, 202}:
                _log.warning("event_given_up", stream=stream.stream_id, status=status)
            await asyncio.to_thread(sent, self.database, one.id)
            return
        due = self.clock.now().timestamp() + min(600.0, 2.0**one.attempts)
        await asyncio.to_thread(put_off, self.database, one.id, due=due, attempts=one.attempts + 1)

    async def _post(
        self,
        stream: Stream,
        event: EventType,
        details: Mapping[str, Any],
        sub_id: Mapping[str, Any],
        transaction: str | None,
    ) -> None:
        now = self.clock.now()
        token = render_event(
            event, details, sub_id, key=self._signing(), issuer=self.issuer,
            audience=stream.audience, jti=f"{self.chance.serial():032x}", now=now,
            transaction=transaction,
        )  # fmt: skip
        await asyncio.to_thread(
            post, self.database, stream.stream_id, token.reveal(), now=now.timestamp(),
            limit=MAX_WAITING,
        )  # fmt: skip

    def _signing(self) -> SigningKey:
        if self._key is None:
            raise StateError("stream.closed", "the transmitter is not open")
        return self._key


def _load_key(database: Database, now: datetime) -> SigningKey:
    fresh = create_key(now, algorithm=ALGORITHM).key
    pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    kept = load_pem_private_key(shared_secret(database, "set-key", pem), None)
    if not isinstance(kept, rsa.RSAPrivateKey):
        raise StateError("tokens.damaged", "the key of security events cannot be read")
    return restore_key(kept, algorithm=ALGORITHM, signs_from=now)
