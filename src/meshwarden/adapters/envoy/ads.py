"""The aggregated discovery server: every sidecar's configuration, over delta xDS.

Each sidecar has a Unix socket of its own in a directory that only it and the control plane can
open; the socket, not what the proxy says, decides whose configuration and private key it gets.
A proxy that names another node is cut off, and so is one that asks for what no sidecar of ours asks
for (an unknown type, names without bounds). Nothing here knows what the resources mean, but for one
rule of the protocol: a cluster that is sent is in use only once its endpoints, which have its name,
are sent after it, also where they are the same.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import structlog
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.message import Message

from meshwarden.adapters.envoy.delta import (
    Acknowledgement,
    Conversation,
    Versioned,
    type_url_of,
    versioned,
)
from meshwarden.adapters.envoy.grpc_socket import serve_on

CLUSTERS: Final = type_url_of(Cluster)
ENDPOINTS: Final = type_url_of(ClusterLoadAssignment)
SECRETS: Final = type_url_of(Secret)
FILTERS: Final = type_url_of(TypedExtensionConfig)
LISTENERS: Final = type_url_of(Listener)
ROUTES: Final = type_url_of(RouteConfiguration)
# What is pointed at is sent before what points at it (make before break).
ORDER: Final = (CLUSTERS, ENDPOINTS, SECRETS, FILTERS, LISTENERS, ROUTES)
MAX_NAME_LENGTH: Final = 1024  # a host name has at most 253
MAX_NAMES: Final = 20_000  # of one type; every name costs memory here
_log = structlog.get_logger()

Snapshot = Mapping[str, Mapping[str, Message]]
"""All resources of one proxy: messages by name, by type URL."""


@dataclass(slots=True)
class _Node:
    """One proxy: what it should run, what it said about it, and the streams it has open."""

    name: str
    available: dict[str, dict[str, Versioned]] = field(default_factory=dict)
    answers: dict[tuple[str, str], Acknowledgement] = field(default_factory=dict)
    streams: set["_Stream"] = field(default_factory=set)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    server: "grpc.aio.Server | None" = None

    def unanswered(self) -> set[tuple[str, str]]:
        """Return what is published but not yet answered in its current version."""
        return {
            (type_url, name)
            for type_url, resources in self.available.items()
            for name in resources
            if self.awaits(type_url, name)
        }

    def awaits(self, type_url: str, name: str) -> bool:
        """Return whether this resource is published but not yet answered in its version."""
        resource = self.available.get(type_url, {}).get(name)
        answer = self.answers.get((type_url, name))
        return resource is not None and (answer is None or answer.version != resource.version)

    def changed(self, type_url: str) -> None:
        """Have the open streams look at the resources of this type again."""
        for stream in self.streams:
            stream.look_at(type_url)


class DiscoveryServer:
    """Serves each node its snapshot, and knows what each node accepted and refused.

    Args:
        report: called with each acknowledgement, in the order of arrival.
    """

    def __init__(self, report: Callable[[Acknowledgement], None] = lambda _: None) -> None:
        self._nodes: dict[str, _Node] = {}
        self._report = report

    async def open(self, node: str, socket: Path, *, uid: int | None = None) -> None:
        """Serve `node` on the Unix socket `socket`; DependencyError `xds.socket` where that fails.

        Whoever can connect is given the node's key: the socket is for the user `uid` alone, or for
        this process's own; others must not be able to write its directory.
        """
        state = self._node(node)
        server = grpc.aio.server(options=[("grpc.max_concurrent_streams", 16)])
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(
            _Servicer(self, state), server
        )
        await serve_on(socket, server, uid=uid, code="xds.socket")
        state.server = server

    def publish(self, node: str, snapshot: Snapshot) -> None:
        """Make `snapshot` what `node` should run; its open streams are sent the difference."""
        state = self._node(node)
        state.available = {
            type_url: {name: versioned(message) for name, message in resources.items()}
            for type_url, resources in snapshot.items()
        }
        state.answers = {
            (type_url, name): answer
            for (type_url, name), answer in state.answers.items()
            if name in state.available.get(type_url, {})
        }
        for type_url in ORDER:
            state.changed(type_url)

    def update(self, node: str, type_url: str, name: str, message: Message) -> None:
        """Replace one resource of `node` and leave the rest of its snapshot as it is."""
        state = self._node(node)
        state.available.setdefault(type_url, {})[name] = versioned(message)
        state.changed(type_url)

    def update_all(self, nodes: Iterable[str], type_url: str, name: str, message: Message) -> None:
        """Replace one resource that is the same for all `nodes`; it is packed once."""
        resource = versioned(message)
        for node in nodes:
            state = self._node(node)
            state.available.setdefault(type_url, {})[name] = resource
            state.changed(type_url)

    async def answered(self, node: str, resources: Iterable[tuple[str, str]]) -> None:
        """Wait until `node` has answered these resources, by type and name, in their version.

        As with `settled`, bound the wait; what is not published is not waited for.
        """
        state = self._node(node)
        wanted = set(resources)
        while any(state.awaits(*resource) for resource in wanted):
            state.answered.clear()
            await state.answered.wait()

    def awaits(self, node: str, resources: Iterable[tuple[str, str]]) -> bool:
        """Return whether `node` has yet to answer one of these resources in its version."""
        state = self._node(node)
        return any(state.awaits(*resource) for resource in resources)

    async def settled(self, node: str) -> list[Acknowledgement]:
        """Wait until `node` has answered all that is published; return its refusals.

        What the proxy never subscribes to is never answered: bound the wait with a timeout.
        """
        state = self._node(node)
        while state.unanswered():
            state.answered.clear()
            await state.answered.wait()
        return [answer for answer in self.answers(node) if answer.error is not None]

    def answers(self, node: str) -> list[Acknowledgement]:
        """Return the newest answer of `node` about each resource."""
        return list(self._node(node).answers.values())

    def pending(self, node: str) -> list[str]:
        """Return the resources that `node` has not answered in their current version, by name."""
        return sorted(name for _, name in self._node(node).unanswered())

    def connected(self, node: str) -> bool:
        """Return whether `node` has a stream open."""
        return bool(self._node(node).streams)

    async def close(self) -> None:
        """Stop serving; proxies keep what they have."""
        servers = [node.server for node in self._nodes.values() if node.server]
        await asyncio.gather(*(server.stop(grace=0) for server in servers))

    def _node(self, name: str) -> _Node:
        return self._nodes.setdefault(name, _Node(name))

    def record(self, node: _Node, answer: Acknowledgement) -> None:
        """Take note of one answer and wake who waits for it.

        What is not published is not kept: a proxy may name what it likes, again and again.
        """
        if answer.name in node.available.get(answer.type_url, {}):
            node.answers[(answer.type_url, answer.name)] = answer
        node.answered.set()
        self._report(answer)


@dataclass(eq=False, slots=True)
class _Stream:
    """One open stream: a conversation per resource type, and an event that says look again.

    `stale` are the types to look at: with hundreds of proxies, looking at all of them for each
    answer was most of the work.
    """

    node: str
    conversations: dict[str, Conversation] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stale: set[str] = field(default_factory=lambda: set(ORDER))

    def look_at(self, type_url: str) -> None:
        self.stale.add(type_url)
        self.wake.set()

    def conversation(self, type_url: str) -> Conversation:
        if type_url not in self.conversations:
            self.conversations[type_url] = Conversation(self.node, type_url)
        return self.conversations[type_url]


class _Servicer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """The gRPC face of one node's socket."""

    def __init__(self, server: DiscoveryServer, node: _Node) -> None:
        self._server = server
        self._node = node

    async def DeltaAggregatedResources(  # noqa: N802  # the protocol's name
        self,
        requests: AsyncIterator[DeltaDiscoveryRequest],
        context: grpc.aio.ServicerContext[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
    ) -> AsyncIterator[DeltaDiscoveryResponse]:
        stream = _Stream(self._node.name)
        self._node.streams.add(stream)
        reader = asyncio.create_task(self._read(stream, requests, context))
        reader.add_done_callback(lambda _: stream.wake.set())
        try:
            while not reader.done():
                stream.wake.clear()
                for type_url in ORDER:
                    while type_url in stream.stale:
                        response = self._next(stream, type_url)
                        if response is None:
                            stream.stale.discard(type_url)
                            break
                        yield response
                        if type_url == CLUSTERS:
                            names = (resource.name for resource in response.resources)
                            stream.conversation(ENDPOINTS).forget(names)
                            stream.stale.add(ENDPOINTS)
                if not reader.done():
                    await stream.wake.wait()
            await reader
        finally:
            self._node.streams.discard(stream)
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(reader, return_exceptions=True)

    def _next(self, stream: _Stream, type_url: str) -> DeltaDiscoveryResponse | None:
        conversation = stream.conversations.get(type_url)
        return conversation and conversation.respond(self._node.available.get(type_url, {}))

    async def _read(
        self,
        stream: _Stream,
        requests: AsyncIterator[DeltaDiscoveryRequest],
        context: grpc.aio.ServicerContext[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
    ) -> None:
        async for request in requests:
            if request.node.id and request.node.id != self._node.name:
                message = f"this socket serves {self._node.name} alone"
                await self._refuse(context, grpc.StatusCode.PERMISSION_DENIED, message)
            if why := _malformed(request):
                await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, why)
            conversation = stream.conversation(request.type_url)
            for answer in conversation.receive(request):
                self._server.record(self._node, answer)
            if len(conversation.wanted) + len(conversation.held) > MAX_NAMES:
                message = f"more than {MAX_NAMES} names"
                await self._refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, message)
            stream.look_at(request.type_url)

    async def _refuse(
        self,
        context: grpc.aio.ServicerContext[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
        code: grpc.StatusCode,
        why: str,
    ) -> None:
        _log.warning("xds_refused", node=self._node.name, why=why)
        await context.abort(code, why)


def _malformed(request: DeltaDiscoveryRequest) -> str | None:
    """Return what is wrong with `request`; None where nothing is."""
    if request.type_url not in ORDER:
        return f"unknown type {request.type_url[:200]!r}"
    names = (
        *request.resource_names_subscribe,
        *request.resource_names_unsubscribe,
        *request.initial_resource_versions,
    )
    if any(len(name) > MAX_NAME_LENGTH for name in names):
        return f"a name of more than {MAX_NAME_LENGTH} characters"
    return None
