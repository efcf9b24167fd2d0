"""Connections between a suspect and a peer that were open before it was cut off, one each way.

They are opened in the very places of the two, as their sidecars would, and each carries one octet
before. What is sent over them afterwards is counted where it would arrive.
"""

import contextlib
import socket
from dataclasses import dataclass
from typing import Final

from meshwarden.adapters.network.counting import received_from
from meshwarden.adapters.network.established import Connection, list_connections
from meshwarden.control.layout import INBOUND_PORT, Layout
from meshwarden.control.response.probing.arriving import arrived_from
from meshwarden.control.response.probing.neighbourhood import Neighbourhood
from meshwarden.control.response.probing.places import network_of, open_socket
from meshwarden.kernel import DependencyError

_BEFORE: Final = b"\x16"  # how a TLS record begins: the sidecar waits for the rest
SENT: Final = b"\x03\x01\x02\x00" * 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Two open connections.

    Attributes:
        suspect, peer: the services.
        out: from the suspect's place to the peer.
        back: from the peer's place to the suspect.
        own: connections of the suspect's own that were open at the peers.
    """

    suspect: str
    peer: str
    out: socket.socket
    back: socket.socket
    own: frozenset[Connection] = frozenset()

    def close(self) -> None:
        """Let go of both."""
        self.out.close()
        self.back.close()


def open_witness(layout: Layout, around: Neighbourhood) -> Witness | None:
    """Return connections between the suspect and the first callee where both ways work.

    None in a mesh without networks of its own, and where nobody is there to connect with.
    """
    suspect = around.suspect
    own = _open_ones(layout, around)
    for peer, port in around.callees.items() if layout.isolated else ():
        with contextlib.suppress(OSError, DependencyError):
            out = _open(layout, suspect, peer, port)
            try:
                back = _open(layout, peer, suspect, around.port or INBOUND_PORT)
            except (OSError, DependencyError):
                out.close()
                raise
            return Witness(suspect=suspect, peer=peer, out=out, back=back, own=own)
    return None


def _open_ones(layout: Layout, around: Neighbourhood) -> frozenset[Connection]:
    """Return the suspect's connections as its peers have them; none where that is not known."""
    uid = layout.sidecar_uid(around.suspect) if layout.isolated else 0
    with contextlib.suppress(DependencyError), network_of(layout, around.suspect) as place:
        if place is not None:
            here = {one.local for one in list_connections(place, uid=uid)}
            there = [one for _, one in arrived_from(layout, around) if one is not None]
            return frozenset(one for one in there if one.remote in here)
    return frozenset()


def send_over(witness: Witness) -> None:
    """Send octets over both; where they arrive is asked some time later."""
    for end in (witness.out, witness.back):
        with contextlib.suppress(OSError):  # it was reset, as it should be
            end.setblocking(False)
            end.send(SENT)


def octets_arrived(layout: Layout, witness: Witness) -> int:
    """Return how many octets of those that were sent over the two have arrived."""
    suspect, peer = witness.suspect, witness.peer
    there = _arrived(layout, suspect, peer, witness.out)
    return there + _arrived(layout, peer, suspect, witness.back)


def _arrived(layout: Layout, sender: str, receiver: str, end: socket.socket) -> int:
    host, port = layout.host(sender), end.getsockname()[1]
    with network_of(layout, receiver) as namespace:
        if namespace is None:
            return 0
        counted = received_from(namespace, host)
    return sum(
        max(0, octets - len(_BEFORE))
        for connection, octets in counted.items()
        if connection.remote == (host, port)
    )


def _open(layout: Layout, sender: str, receiver: str, port: int) -> socket.socket:
    with network_of(layout, sender) as namespace:
        end = open_socket(layout, namespace, sender, sidecar=True)
    try:
        end.bind((layout.host(sender), 0))
        end.connect((layout.host(receiver), port))
        end.send(_BEFORE)
    except OSError:
        end.close()
        raise
    return end
