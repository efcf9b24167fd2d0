"""One delta xDS conversation, about one resource type with one proxy, as a pure step.

The incremental xDS protocol (Envoy's xDS protocol document, "Incremental xDS"): the proxy says
which resources it wants, the server sends those whose version differs from what the proxy holds,
the proxy acknowledges (ACK) or refuses (NACK) each response by its nonce.

Rules that hold here:

- A version is the digest of the resource's bytes: after a restart of the control plane a proxy that
  reconnects is sent only what really changed.
- A refused version is never sent again. A refused response that held several resources is
  sent again one by one, so that the good ones are applied and each bad one is named.
- Who leaves `MAX_UNANSWERED` responses unanswered is sent no more until it answers one; it then
  gets what is newest. A proxy that never answers costs no memory beyond these.
- A name asked for that does not exist is answered as removed; the proxy need not wait for it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

_TYPE_PREFIX = "type.googleapis.com/"
_WILDCARD = "*"
MAX_UNANSWERED = 64
_ABSENT = ""  # the version under which a proxy was told that a resource does not exist


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """A resource ready to be sent: its protobuf bytes and the version that they give it."""

    version: str
    packed: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What a proxy answered about one resource.

    Attributes:
        node: the proxy.
        type_url: the resource's type.
        name: the resource's name.
        version: the version that was sent; empty for a removal.
        error: why the proxy refused it; None where it accepted.
    """

    node: str
    type_url: str
    name: str
    version: str
    error: str | None


def type_url_of(message: type[Message]) -> str:
    """Return the type URL of a protobuf class."""
    return _TYPE_PREFIX + message.DESCRIPTOR.full_name


def versioned(message: Message) -> Versioned:
    """Return `message` packed, under a version that depends on its content alone."""
    raw = message.SerializeToString(deterministic=True)
    packed = Any(type_url=_TYPE_PREFIX + message.DESCRIPTOR.full_name, value=raw)
    return Versioned(version=hashlib.blake2b(raw, digest_size=12).hexdigest(), packed=packed)


@dataclass(slots=True)
class Conversation:
    """The state of one conversation: what the proxy wants, holds, was sent and has refused."""

    node: str
    type_url: str
    opened: bool = False
    wildcard: bool = False
    wanted: set[str] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    in_flight: dict[str, dict[str, str]] = field(default_factory=dict)
    singly: set[str] = field(default_factory=set)
    _nonce: int = 0

    def receive(self, request: DeltaDiscoveryRequest) -> list[Acknowledgement]:
        """Take in one request; return what it acknowledges or refuses."""
        answers: list[Acknowledgement] = []
        if not self.opened:
            self.opened = True
            self.wildcard = not request.resource_names_subscribe
            self.held = dict(request.initial_resource_versions)
            answers = self._answers(self.held, error=None)
        for name in request.resource_names_subscribe:
            if name == _WILDCARD:
                self.wildcard = True
                continue
            self.wanted.add(name)
            # A name subscribed to (again) is answered even where its version has not changed,
            # unless the proxy said in this very request that it holds it.
            if name not in request.initial_resource_versions:
                self.held.pop(name, None)
                self.refused.pop(name, None)
        for name in request.resource_names_unsubscribe:
            if name == _WILDCARD:
                self.wildcard = False
            self.wanted.discard(name)
            self.held.pop(name, None)
        return answers + self._acknowledge(request)

    def forget(self, names: Iterable[str]) -> None:
        """Send what the proxy wants of `names` once more, changed or not."""
        for name in names:
            self.held.pop(name, None)

    def respond(self, available: Mapping[str, Versioned]) -> DeltaDiscoveryResponse | None:
        """Return the next response that brings the proxy up to `available`.

        None where it is, or has too much to answer yet.
        """
        if not self.opened or len(self.in_flight) >= MAX_UNANSWERED:
            return None
        names = self.wanted | set(available) if self.wildcard else self.wanted
        changed = {
            name: available[name]
            for name in sorted(names & set(available))
            if available[name].version not in {self.held.get(name), self.refused.get(name)}
        }
        if alone := next((name for name in changed if name in self.singly), None):
            changed = {alone: changed[alone]}
        removed = sorted(
            name
            for name in self.wanted | set(self.held)
            if name not in available and self.held.get(name) != _ABSENT
        )
        # Who asks for all there is waits for an answer, also where there is nothing.
        waits = self.wildcard and not self._nonce and not self.held
        if not changed and not removed and not waits:
            return None
        return self._response(changed, removed)

    def _response(
        self, changed: Mapping[str, Versioned], removed: list[str]
    ) -> DeltaDiscoveryResponse:
        self._nonce += 1
        sent = {name: resource.version for name, resource in changed.items()}
        sent.update(dict.fromkeys(removed, _ABSENT))
        self.in_flight[str(self._nonce)] = sent
        self.held.update(sent)
        return DeltaDiscoveryResponse(
            type_url=self.type_url,
            nonce=str(self._nonce),
            removed_resources=removed,
            resources=[
                Resource(name=name, version=resource.version, resource=resource.packed)
                for name, resource in changed.items()
            ],
        )

    def _acknowledge(self, request: DeltaDiscoveryRequest) -> list[Acknowledgement]:
        sent = self.in_flight.pop(request.response_nonce, None)
        if sent is None:
            return []
        error = request.error_detail.message if request.HasField("error_detail") else None
        if error is not None:
            for name, version in sent.items():
                if self.held.get(name) == version:
                    del self.held[name]
            if len(sent) > 1:
                self.singly.update(sent)
                return []
            self.refused.update(sent)
        self.singly.difference_update(sent)
        return self._answers(sent, error=error)

    def _answers(self, versions: Mapping[str, str], error: str | None) -> list[Acknowledgement]:
        return [
            Acknowledgement(
                node=self.node, type_url=self.type_url, name=name, version=version, error=error
            )
            for name, version in versions.items()
        ]
