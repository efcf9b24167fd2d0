"""Places where a suspect runs, each with its driver: what the suite of drivers is run on.

The suspect sends beats to whoever is connected (`services/beats.py`), so a connection shows both
whether it runs and whether anything passes.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.podman import running_podman
from tests.e2e.small_mesh import DOMAIN, POLICY, running_mesh

from meshwarden.adapters.containers import ContainerDriver, Engine
from meshwarden.adapters.network.network import socket_in
from meshwarden.control.response.process_driver import ProcessDriver
from meshwarden.control.supervision.orders import taking_orders
from meshwarden.kernel import MeshwardenError
from meshwarden.response import Driver, Instance

SUSPECT = "suspect"
WITHIN_S = 30.0
SILENCE_S = 0.5  # some twenty beats
_SERVICE = '  suspect: {{command: ["{python}", -I, -S, "{services}/beats.py"], socket: true}}\n'
_POLICY = f"""\
{POLICY}  suspect:
    identity: {DOMAIN}/suspect
    accepts:
      - {{from: [front], tcp: 5432}}
"""


class Line:
    """A connection to the suspect."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    async def say(self, command: str) -> None:
        """Have one command done; the service may end by it."""
        await asyncio.to_thread(self._say, command)

    async def beats(self) -> bool:
        """Return whether a beat comes that was sent after those that are under way."""
        return await asyncio.to_thread(self._reads, after_s=SILENCE_S)

    async def falls_silent(self) -> bool:
        """Return whether nothing more comes."""
        return not await self.beats()

    def _say(self, command: str) -> None:
        self._end.settimeout(WITHIN_S)
        self._end.sendall(f"{command}\n".encode())
        said = b""
        with contextlib.suppress(ConnectionError):
            while b"done" not in said and (chunk := self._end.recv(4096)):
                said = said[-4:] + chunk

    def close(self) -> None:
        self._end.close()

    def _reads(self, *, after_s: float) -> bool:
        """Read on for `after_s`, then return whether one more octet comes within as long again."""
        end = time.monotonic() + after_s
        with contextlib.suppress(OSError):
            while (left := end - time.monotonic()) > 0:
                self._end.settimeout(left)
                if not self._end.recv(4096):
                    return False  # it was closed
        with contextlib.suppress(OSError):
            self._end.settimeout(after_s)
            return bool(self._end.recv(4096))
        return False


@dataclass(kw_only=True)
class Place:
    """One place with the suspect in it; `dial` connects to it from where a peer stands."""

    driver: Driver
    dial: Callable[[], socket.socket]

    async def suspect(self) -> Instance:
        found = await self.driver.running(SUSPECT)
        assert found is not None
        return found

    async def line(self) -> Line:
        """Return a connection on which beats come; waits until the suspect serves."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                with contextlib.suppress(OSError):
                    line = Line(await asyncio.to_thread(self.dial))
                    if await line.beats():
                        return line
                    line.close()
                await asyncio.sleep(0.1)

    async def is_reached(self) -> bool:
        """Return whether beats come on a new connection."""
        try:
            line = Line(await asyncio.to_thread(self.dial))
        except OSError:
            return False
        try:
            return await line.beats()
        finally:
            line.close()

    async def healthy(self, instance: Instance) -> bool:
        try:
            return await self.driver.healthy(instance)
        except MeshwardenError:
            return False


@contextlib.asynccontextmanager
async def processes(folder: Path, *, isolated: bool) -> AsyncIterator[Place]:
    """Run a mesh whose supervisor takes orders from this process, as it does from its own."""
    async with running_mesh(
        folder, policy=_POLICY, services=_SERVICE, isolated=isolated
    ) as running:
        host, port = running.tcp("front", SUSPECT, 5432)
        isolation = running.supervisor.isolation
        front = running.layout.service_uid("front") if isolation else 0

        def _dial_it() -> socket.socket:
            if isolation is None:
                return _connected(socket.socket(), (host, port))
            end = socket_in(isolation.namespace("front"), uid=front)
            return _connected(end, ("127.0.0.1", port))

        orders = taking_orders(
            running.supervisor.custody, running.layout.orders_socket, allowed=os.getpid
        )
        async with orders:
            yield Place(
                driver=ProcessDriver(mesh=running.mesh, layout=running.layout),
                dial=_dial_it,
            )


@contextlib.asynccontextmanager
async def containers(folder: Path) -> AsyncIterator[Place]:
    """Run a Podman of the test's own with the suspect in a container."""
    with running_podman() as podman:
        podman.start(SUSPECT)
        driver = ContainerDriver(
            engine=Engine(socket=podman.socket), names={SUSPECT: SUSPECT}, folder=folder
        )

        known = [podman.address(SUSPECT)]

        def _dial_it() -> socket.socket:
            known.append(podman.address(SUSPECT) or known[-1])  # one that is cut off has none
            end = socket_in(podman.namespace, uid=os.getuid())
            return _connected(end, (known[-1], 5432))

        yield Place(driver=driver, dial=_dial_it)


def _connected(end: socket.socket, address: tuple[str, int]) -> socket.socket:
    end.settimeout(2)
    try:
        end.connect(address)
    except OSError:
        end.close()
        raise
    return end
