"""Where a service stands: its network, entered to open a socket as its sidecar or itself would."""

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Final

from meshwarden.adapters.network.network import socket_in
from meshwarden.adapters.spiffe.attestation import start_ticks_of
from meshwarden.control.layout import Layout, sidecar_name
from meshwarden.control.started import load_started
from meshwarden.kernel import DependencyError

CONNECT_S: Final = 0.5
"""How long an attempt may take to connect. What is refused is so at once; a packet that is dropped
in silence takes this long to be called refused."""


@contextlib.contextmanager
def network_of(layout: Layout, service: str) -> Iterator[int | None]:
    """Have the network of `service` as a descriptor; None where the mesh is not isolated.

    Raises:
        DependencyError: `probe.place` where nothing of it runs, so that nobody can stand there.
    """
    if not layout.isolated:
        yield None
        return
    namespace = _opened(layout, service)
    try:
        yield namespace
    finally:
        os.close(namespace)


def _opened(layout: Layout, service: str) -> int:
    started = load_started(layout.processes)
    for name in (sidecar_name(service), service):
        session = started.get(name)
        if session is None:
            continue
        try:
            namespace = os.open(f"/proc/{session.leader}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        if start_ticks_of(session.leader) == session.start_ticks:  # no other's by now
            return namespace
        os.close(namespace)
    raise DependencyError("probe.place", f"nothing of {service} runs that could be looked from")


def open_socket(
    layout: Layout, namespace: int | None, service: str, *, sidecar: bool
) -> socket.socket:
    """Return a TCP socket as the service's sidecar, or the service itself, would have it."""
    if namespace is None:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    else:
        uid = layout.sidecar_uid(service) if sidecar else layout.service_uid(service)
        found = socket_in(namespace, uid=uid)
    found.settimeout(CONNECT_S)
    return found
