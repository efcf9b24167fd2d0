"""Which port of a sidecar takes what.

Ports of `tcp` rules follow from what they are for, so that a policy change moves no other.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from meshwarden.kernel import ConfigError

INBOUND_PORT: Final = 15443  # mutual TLS, HTTP
FEDERATED_PORT: Final = 15444  # mutual TLS, HTTP, for callers of other trust domains
OUTBOUND_PORT: Final = 15001  # the service's HTTP proxy
FIRST_INBOUND_TCP_PORT: Final = 20000  # mutual TLS, connections
INBOUND_TCP_PORTS: Final = 40000  # the clear ports below lie within, and are left out
FIRST_FEDERATED_TCP_PORT: Final = 61000  # the same, for callers of other trust domains
FEDERATED_TCP_PORTS: Final = 4000  # above those that Linux takes of its own choice
FIRST_OUTBOUND_TCP_PORT: Final = 30000  # the service's own connections, in the clear
OUTBOUND_TCP_PORTS: Final = 2700  # up to the range that Linux takes ports of its own choice from
REDIRECTED_PORT: Final = 15006  # isolated: connections of a service that knows no proxy


def inbound_tcp_ports(ports: Iterable[int]) -> dict[int, int]:
    """Return for each `tcp` port of one service's rules the one that takes mutual TLS for it.

    It follows from the port itself, so that a policy change moves no other. Only where its own
    place is also that of a lower one, or among the clear ports, it takes the next that is free.

    Raises:
        ConfigError: `mesh.too_many_tcp` where there are more than places.
    """
    places = range(FIRST_INBOUND_TCP_PORT, FIRST_INBOUND_TCP_PORT + INBOUND_TCP_PORTS)
    clear = range(FIRST_OUTBOUND_TCP_PORT, FIRST_OUTBOUND_TCP_PORT + OUTBOUND_TCP_PORTS)
    own = {port: port % INBOUND_TCP_PORTS for port in ports}
    if len(own) > len(places) - len(clear):
        raise ConfigError("mesh.too_many_tcp", f"one service accepts {len(own)} tcp ports")
    found: dict[int, int] = {}
    taken = set(clear)
    for port in sorted(own, key=lambda one: (one != own[one] or places[own[one]] in clear, one)):
        found[port] = _next_free(places, own[port], taken)
    return found


def federated_tcp_ports(ports: Iterable[int]) -> dict[int, int]:
    """Return for each `tcp` port that other trust domains may use the one that takes them.

    Otherwise as `inbound_tcp_ports`.
    """
    places = range(FIRST_FEDERATED_TCP_PORT, FIRST_FEDERATED_TCP_PORT + FEDERATED_TCP_PORTS)
    found: dict[int, int] = {}
    taken: set[int] = set()
    for port in sorted(ports):
        if len(found) == FEDERATED_TCP_PORTS:
            raise ConfigError(
                "mesh.too_many_tcp", f"one service accepts over {len(found)} tcp ports of partners"
            )
        found[port] = _next_free(places, port % FEDERATED_TCP_PORTS, taken)
    return found


def outbound_tcp_ports(destinations: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the clear port of each of a caller's tcp destinations (service, port).

    It follows from the destination's own name: a policy change never moves another one to the port
    that a running service was told. Only of two whose names fall on the same port, some one pair in
    2700, the later by name takes the next.

    Raises:
        ConfigError: `mesh.too_many_tcp` where there are more destinations than ports.
    """
    places = range(FIRST_OUTBOUND_TCP_PORT, FIRST_OUTBOUND_TCP_PORT + OUTBOUND_TCP_PORTS)
    found: dict[tuple[str, int], int] = {}
    taken: set[int] = set()
    for name, port in sorted(destinations):
        if len(found) == OUTBOUND_TCP_PORTS:
            raise ConfigError(
                "mesh.too_many_tcp", f"one service has more than {len(found)} tcp destinations"
            )
        digest = hashlib.sha256(f"{name}:{port}".encode()).digest()
        place = int.from_bytes(digest[:8]) % OUTBOUND_TCP_PORTS
        found[name, port] = _next_free(places, place, taken)
    return found


def _next_free(places: range, place: int, taken: set[int]) -> int:
    """Take the port at `place`, or the next that is free, with the first after the last."""
    while places[place] in taken:
        place = (place + 1) % len(places)
    taken.add(places[place])
    return places[place]
