"""Cuts in the network what revocation by the sidecars leaves: a stream that is under way.

A sidecar judges a request when it begins, and a connection when octets arrive from the caller; what
flows the other way goes on. Where services have networks of their own, the connections that a
revoked certificate was shown on are reset there:

1. `mark` lists those that a service's sidecar has, once it has its fresh certificate and leaves its
   pools: later ones show the fresh one.
2. `FINISH_S` later `cut` ends those of them that are still there. By then only those are left that
   carry something long.

A service that was cut off and ended sends its peers no farewell: its network refuses that as well.
`forsake` ends what they still have open with it.

Without isolation there is nothing to be done here, and both do nothing.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from meshwarden.adapters.network.established import (
    Connection,
    end_connections,
    list_connections,
)
from meshwarden.adapters.spiffe.attestation import start_ticks_of
from meshwarden.control.layout import Layout, sidecar_name
from meshwarden.control.started import load_started
from meshwarden.kernel import DependencyError

FINISH_S: Final = 0.3
"""How long requests under way may take to end by themselves. Zero fails calls of the service that
are as innocent as they are short; more gives a thief's stream as much longer."""

OWN_NETWORK: Final = Path("/proc/self/ns/net")
_log = structlog.get_logger()
Marked = Mapping[str, frozenset[Connection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Severed:
    """What was cut: how many connections, and the services of which that could not be done."""

    connections: int = 0
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Severing:
    """Ends connections in the networks of the mesh of `layout`."""

    layout: Layout

    def mark(self, services: Iterable[str]) -> Marked:
        """Return the connections that the sidecars of `services` have with other sidecars now.

        A service whose sidecar does not run has none, and neither has any outside of an isolated
        mesh. What cannot be listed is left out, which `cut` then says.
        """
        found: dict[str, frozenset[Connection]] = {}
        for name in services if self.layout.isolated else ():
            with _told("not_marked", name), self._network_of(name) as namespace:
                uid = self.layout.sidecar_uid(name)
                found[name] = list_connections(namespace, uid=uid) if namespace else frozenset()
        return found

    async def cut(self, services: Iterable[str], marked: Marked) -> Severed:
        """End what was marked of `services`, as far as it is still there."""
        if not self.layout.isolated:
            return Severed()
        ended, failed = 0, []
        for name in services:
            done = None
            with _told("not_severed", name), self._network_of(name) as namespace:
                if namespace is None:
                    done = 0
                elif name in marked:
                    done = await asyncio.to_thread(end_connections, namespace, marked[name])
            if done is None:
                failed.append(name)
            ended += done or 0
        return Severed(connections=ended, failed=tuple(failed))

    async def forsake(self, service: str, peers: Iterable[str]) -> Severed:
        """End what the sidecars of `peers` have open with `service`, which is cut off and ended."""
        if not self.layout.isolated:
            return Severed()
        host = self.layout.host(service)
        marked = {
            name: frozenset(one for one in connections if one.remote[0] == host)
            for name, connections in self.mark(set(peers) - {service}).items()
        }
        return await self.cut(sorted(marked), marked)

    @contextlib.contextmanager
    def _network_of(self, name: str) -> Iterator[int | None]:
        """Have the network namespace of the service's sidecar; None where that does not run."""
        session = load_started(self.layout.processes).get(sidecar_name(name))
        if session is None:
            yield None
            return
        try:
            namespace = os.open(f"/proc/{session.leader}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        try:
            running = start_ticks_of(session.leader) == session.start_ticks  # no other's by now
            own = os.path.samestat(os.fstat(namespace), OWN_NETWORK.stat())
            yield namespace if running and not own else None
        finally:
            os.close(namespace)


@contextlib.contextmanager
def _told(event: str, service: str) -> Iterator[None]:
    try:
        yield
    except (DependencyError, OSError) as error:
        _log.error(event, service=service, error=str(error))
