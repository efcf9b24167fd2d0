"""xDS clients that stand for sidecars: each subscribes to what its Envoy would, and acknowledges.

A process of its own, so that their work is not the control plane's. It is told on stdin, one JSON
object a line, and answers on stdout:

- `{"expect": ["<type url>", "<name>"]}`: from now on note when each client receives this resource;
- `{"report": true}`: answers `{"received_ns": {client: monotonic nanoseconds}}` once all have.

    python -m benchmarks.subscribers SOCKET... < commands
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic_ns

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from meshwarden.adapters.envoy.ads import (
    CLUSTERS,
    ENDPOINTS,
    FILTERS,
    LISTENERS,
    ROUTES,
    SECRETS,
)
from meshwarden.adapters.envoy.containment import CONTAINMENT
from meshwarden.adapters.envoy.listeners import AUTHORIZATION, OUTBOUND
from meshwarden.adapters.envoy.tls import BUNDLE, SVID

WANTED = {
    CLUSTERS: [],
    LISTENERS: [],
    SECRETS: [SVID, BUNDLE],
    FILTERS: [CONTAINMENT, AUTHORIZATION],
    ROUTES: [OUTBOUND],
}


class Subscribers:
    """All clients, and when each received what is expected."""

    def __init__(self, sockets: list[Path]) -> None:
        self._sockets = sockets
        self._expected = ("", "")
        self._received: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._ready: set[str] = set()

    def expect(self, type_url: str, name: str) -> None:
        """Note from now on when each client receives this resource."""
        self._expected = (type_url, name)
        self._received = {}

    async def all_received(self) -> dict[str, int]:
        """Return when each client received it, once all have."""
        while len(self._received) < len(self._sockets):
            self._changed.clear()
            await self._changed.wait()
        return self._received

    async def all_ready(self) -> None:
        """Return once every client has its containment filter."""
        while len(self._ready) < len(self._sockets):
            self._changed.clear()
            await self._changed.wait()

    async def run(self) -> None:
        """Hold all subscriptions until cancelled."""
        async with asyncio.TaskGroup() as clients:
            for socket in self._sockets:
                clients.create_task(self._subscribe(socket))

    async def _subscribe(self, socket: Path) -> None:
        node = socket.parent.name
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
            outgoing: asyncio.Queue[DeltaDiscoveryRequest] = asyncio.Queue()
            for type_url, wanted in WANTED.items():
                first = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=wanted)
                first.node.id = node
                outgoing.put_nowait(first)

            async def _requests() -> AsyncIterator[DeltaDiscoveryRequest]:
                while True:
                    yield await outgoing.get()

            async for answer in stub.DeltaAggregatedResources(_requests()):
                at = monotonic_ns()
                names = {resource.name for resource in answer.resources}
                if (answer.type_url, self._expected[1]) == self._expected and (
                    self._expected[1] in names
                ):
                    self._received.setdefault(node, at)
                    self._changed.set()
                if answer.type_url == FILTERS and CONTAINMENT in names:
                    self._ready.add(node)
                    self._changed.set()
                outgoing.put_nowait(
                    DeltaDiscoveryRequest(type_url=answer.type_url, response_nonce=answer.nonce)
                )
                places = [name for name in names if name.startswith("service/")]
                if answer.type_url == CLUSTERS and places:
                    more = DeltaDiscoveryRequest(
                        type_url=ENDPOINTS, resource_names_subscribe=places
                    )
                    outgoing.put_nowait(more)


async def _main(sockets: list[Path]) -> None:
    subscribers = Subscribers(sockets)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    running = asyncio.create_task(subscribers.run())
    await subscribers.all_ready()
    print(json.dumps({"ready": len(sockets)}), flush=True)
    while line := await reader.readline():
        command = json.loads(line)
        if expected := command.get("expect"):
            subscribers.expect(*expected)
            print("{}", flush=True)
        else:
            print(json.dumps({"received_ns": await subscribers.all_received()}), flush=True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_main([Path(argument) for argument in sys.argv[1:]]))
