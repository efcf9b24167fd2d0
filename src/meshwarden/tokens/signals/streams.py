"""Event streams that we transmit: their configuration, status and subjects (SSF 1.0, section 8).

A stream belongs to the receiver that made it, by its authenticated name; nobody else sees or
changes it. Changes are a step: the stream as it was in, the stream as it is out, or why not.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from meshwarden.tokens.signals.model import CAEP_EVENTS

PUSH: Final = "urn:ietf:rfc:8935"
MIN_VERIFICATION_S: Final = 60
MAX_SUBJECTS: Final = 10_000
_MAX_URL: Final = 1024
_READ_ONLY: Final = frozenset(
    {"iss", "aud", "events_supported", "events_delivered", "min_verification_interval",
     "inactivity_timeout"}
)  # fmt: skip
_GIVEN: Final = frozenset({"stream_id", "delivery", "events_requested", "description"})


class StreamStatus(StrEnum):
    """Whether events flow."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


class StreamError(ValueError):
    """What a receiver asked for is not possible; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One event stream.

    Attributes:
        stream_id: its name.
        owner: SPIFFE ID or name of the receiver.
        audience: `aud` of its events.
        endpoint_url: where events are pushed to.
        authorization: value of the `Authorization` header of pushes.
        events_requested: event types that the receiver wants.
        description: the receiver's own.
        status: whether events flow.
        reason: of the status.
        subjects: canonical JSON of the subjects that are added; empty: all (`default_subjects`).
        verified_at: when a verification was asked for last, seconds since the epoch.
    """

    stream_id: str
    owner: str
    audience: str
    endpoint_url: str
    authorization: str | None = field(default=None, repr=False)
    events_requested: tuple[str, ...] = ()
    description: str | None = None
    status: StreamStatus = StreamStatus.ENABLED
    reason: str | None = None
    subjects: tuple[str, ...] = ()
    verified_at: int = 0

    @property
    def events_delivered(self) -> tuple[str, ...]:
        """Event types that are both wanted and known here."""
        return tuple(one for one in CAEP_EVENTS if one in self.events_requested)

    def wants(self, event: str, sub_id: Mapping[str, Any]) -> bool:
        """Return whether an event about a subject is to be sent on this stream."""
        if self.status is StreamStatus.DISABLED or event not in self.events_delivered:
            return False
        return not self.subjects or canonical(sub_id) in self.subjects


def create_stream(asked: Mapping[str, Any], *, stream_id: str, owner: str, audience: str) -> Stream:
    """Return a new stream; StreamError where what is asked for is not possible."""
    return update_stream(
        Stream(stream_id=stream_id, owner=owner, audience=audience, endpoint_url=""),
        {name: value for name, value in asked.items() if name != "stream_id"},
        replace_all=True,
    )


def update_stream(stream: Stream, asked: Mapping[str, Any], *, replace_all: bool) -> Stream:
    """Return the stream with what is asked for changed; with `replace_all` the rest is unset."""
    unknown = set(asked) - _GIVEN - _READ_ONLY
    if unknown:
        raise StreamError(f"{min(unknown)[:40]!r} is not understood")
    if asked.get("stream_id", stream.stream_id) != stream.stream_id:
        raise StreamError("stream_id cannot be changed")
    if replace_all or "delivery" in asked:
        stream = _delivered(stream, asked.get("delivery"))
    if replace_all or "events_requested" in asked:
        events = asked.get("events_requested", list(CAEP_EVENTS))
        if not isinstance(events, list) or not all(isinstance(one, str) for one in events[:64]):
            raise StreamError("events_requested is no list of texts")
        stream = replace(stream, events_requested=tuple(events[:64]))
    if replace_all or "description" in asked:
        text = asked.get("description")
        if text is not None and (not isinstance(text, str) or len(text) > 256):
            raise StreamError("description is no text of at most 256 characters")
        stream = replace(stream, description=text)
    return stream


def set_status(stream: Stream, asked: Mapping[str, Any]) -> Stream:
    """Return the stream with its status changed."""
    status, reason = asked.get("status"), asked.get("reason")
    if status not in set(StreamStatus) or not (reason is None or isinstance(reason, str)):
        raise StreamError("status is enabled, paused or disabled")
    return replace(stream, status=StreamStatus(status), reason=reason and reason[:256])


def change_subject(stream: Stream, asked: Mapping[str, Any], *, add: bool) -> Stream:
    """Return the stream with a subject added or removed."""
    subject = asked.get("subject")
    if not isinstance(subject, dict) or not isinstance(subject.get("format"), str):
        raise StreamError("subject is no subject identifier (RFC 9493)")
    name = canonical(subject)
    left = tuple(one for one in stream.subjects if one != name)
    if add and len(left) >= MAX_SUBJECTS:
        raise StreamError(f"more than {MAX_SUBJECTS} subjects")
    return replace(stream, subjects=(*left, name) if add else left)


def render_stream(stream: Stream, *, issuer: str) -> dict[str, Any]:
    """Return the configuration as the receiver sees it; the authorization is never shown."""
    return {
        "stream_id": stream.stream_id,
        "iss": issuer,
        "aud": stream.audience,
        "delivery": {"method": PUSH, "endpoint_url": stream.endpoint_url},
        "events_supported": list(CAEP_EVENTS),
        "events_requested": list(stream.events_requested),
        "events_delivered": list(stream.events_delivered),
        "min_verification_interval": MIN_VERIFICATION_S,
        **({"description": stream.description} if stream.description else {}),
    }


def stream_to_text(stream: Stream) -> str:
    """Return the stream as it is kept."""
    return json.dumps(asdict(stream))


def stream_from_text(text: str) -> Stream:
    """Return the stream that `stream_to_text` wrote."""
    found = json.loads(text)
    for name in ("events_requested", "subjects"):
        found[name] = tuple(found[name])
    return Stream(**found | {"status": StreamStatus(found["status"])})


def canonical(value: Mapping[str, Any]) -> str:
    """Return one text for equal JSON values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _delivered(stream: Stream, delivery: object) -> Stream:
    if not isinstance(delivery, dict) or delivery.get("method") != PUSH:
        raise StreamError(f"delivery.method is {PUSH}: events are pushed")
    url, authorization = delivery.get("endpoint_url"), delivery.get("authorization_header")
    if not isinstance(url, str) or len(url) > _MAX_URL or not _is_usable(url):
        raise StreamError("delivery.endpoint_url is no https URL")
    if authorization is not None and (
        not isinstance(authorization, str)
        or len(authorization) > _MAX_URL
        or not authorization.isprintable()
    ):
        raise StreamError("delivery.authorization_header is no header value")
    return replace(stream, endpoint_url=url, authorization=authorization)


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    inside = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1"}
    return (parts.scheme == "https" or inside) and bool(parts.hostname) and parts.username is None
