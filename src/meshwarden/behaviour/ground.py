"""`Ground`: who is known: identities, pairs, services offered, services used; each has a number.

All detectors keep their knowledge under these numbers. A call is *placed* here before anything is
scored: its parties get numbers, and what was never seen is marked fresh.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.compiled import compiled
from meshwarden.behaviour.encode import Calls
from meshwarden.behaviour.peers import of_call, of_contact, of_use
from meshwarden.behaviour.samples import KNOWN, forget, join, meet
from meshwarden.behaviour.settings import Settings
from meshwarden.behaviour.tables import Table, finds_all, home, is_seen, number_of, pair
from meshwarden.kernel import InputError

Numbers = NDArray[np.int32]
AS_SOURCE, AS_DESTINATION = 5, 6  # columns of `Placed.fresh`: the first time in that role


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Calls with their numbers, one element each; see `Ground` for what is numbered.

    Attributes:
        calls: the calls.
        clock: ns; the calls' times, never going back.
        hour: hours since the epoch, by the clock.
        source, destination, edge, offer, link: numbers; a call that states no service uses one
            without a name.
        fresh: bool[n, 7], in the same order: number given out by this very call. Then whether the
            source, and the destination, is for the first time in that role since it has its number:
            what is kept of one role, and may be another identity's, is cleared there.
        age: hours since the edge's first call.
        tainted: the last hour in which the edge or one of its parties alarmed; 0: none.
        stance: of the declared policy on what is new: see `declared`.
        expected: whether the call's edge came with a release and is declared.
        graced: whether that, or a new service that a release gave it, is less than a week old.
        ripeness: what is left of the surprises of such an edge: nothing for a day, all in a week.
        renewed: whether the call is the first of such a service: what the edge carried is no guide.
        peers: int16[n, 2], of a first contact, or a first use of a service on a known edge: how
            many peers the source has, and how many of them did it before; zeros elsewhere.
        unlike: nats, by how much less likely that is of it than of anybody: see `peers.unlike`.
        began: ns, since when anything has been known, by the clock.
    """

    calls: Calls
    clock: NDArray[np.int64]
    hour: NDArray[np.int32]
    source: Numbers
    destination: Numbers
    edge: Numbers
    offer: Numbers
    link: Numbers
    fresh: NDArray[np.bool_]
    age: NDArray[np.int32]
    tainted: NDArray[np.int32]
    stance: NDArray[np.int8]
    expected: NDArray[np.bool_]
    graced: NDArray[np.bool_]
    renewed: NDArray[np.bool_]
    ripeness: NDArray[np.float32]
    peers: NDArray[np.int16]
    unlike: NDArray[np.float32]
    began: int = 0

    def __len__(self) -> int:
        return len(self.clock)

    def renewing(self) -> NDArray[np.bool_]:
        """Return `fresh`, renewed edges as if they were new."""
        if not self.renewed.any():
            return self.fresh
        fresh = self.fresh.copy()
        fresh[:, 2] |= self.renewed
        return fresh


@dataclass(slots=True)
class Ground:
    """Tables of identities, edges, offers and links.

    An edge is a source and a destination; an offer a destination and a service; a link all three.

    Attributes:
        known: of KNOWN, by number of identity: a sample of whom it calls and who calls it.
        callers: one element: how many identities have such a sample of callees.
        born: by number of edge, the hour of its first call.
        roles: bits by number: 1 where its identity was a source, 2 where it was a destination.
    """

    settings: Settings
    nodes: Table = field(init=False)
    edges: Table = field(init=False)
    offers: Table = field(init=False)
    links: Table = field(init=False)
    known: NDArray[Any] = field(init=False)
    callers: NDArray[np.int64] = field(init=False)
    born: NDArray[np.int32] = field(init=False)
    roles: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = Table.sized(self.settings.node_bits)
        self.edges = Table.sized(self.settings.edge_bits)
        self.offers = Table.sized(self.settings.link_bits - 2)
        self.links = Table.sized(self.settings.link_bits)
        self.known = np.zeros(1 << self.settings.node_bits, KNOWN)
        self.callers = np.zeros(1, np.int64)
        self.born = np.zeros(1 << self.settings.edge_bits, np.int32)
        self.roles = np.zeros(1 << self.settings.node_bits, np.uint8)

    def place(
        self, calls: Calls, clock: NDArray[np.int64], muted: NDArray[np.bool_] | None = None
    ) -> Placed:
        """Return the calls with their numbers.

        Args:
            calls: the calls.
            clock: ns; their times, never going back.
            muted: by number of identity: it alarms, so it is nobody's peer; None: nobody does.
        """
        hour = (clock // 3_600_000_000_000).astype(np.int32)
        numbers = np.empty((5, len(calls)), np.int32)
        fresh = np.zeros((len(calls), 7), np.bool_)
        tables = (self.nodes, self.edges, self.offers, self.links)
        parts: list[Any] = [p for t in tables for p in (t.entries, t.index, t.used)]
        if muted is None:
            muted = np.zeros(len(self.known), np.bool_)
        peers, unlike = np.zeros((len(calls), 2), np.int16), np.zeros(len(calls), np.float32)
        age = np.zeros(len(calls), np.int32)
        place: Any = _place
        place(
            calls.source, calls.destination, calls.service, hour, *parts, self.known, self.callers,
            self.born, self.roles, muted, numbers, fresh, age, peers, unlike,
        )  # fmt: skip
        return Placed(
            calls=calls,
            clock=clock,
            hour=hour,
            source=numbers[0],
            destination=numbers[1],
            edge=numbers[2],
            offer=numbers[3],
            link=numbers[4],
            fresh=fresh,
            age=age,
            tainted=np.zeros(len(calls), np.int32),
            stance=np.zeros(len(calls), np.int8),
            expected=np.zeros(len(calls), np.bool_),
            graced=np.zeros(len(calls), np.bool_),
            renewed=np.zeros(len(calls), np.bool_),
            ripeness=np.ones(len(calls), np.float32),
            peers=peers,
            unlike=unlike,
        )

    def peers_of(
        self, placed: Placed, row: int, muted: NDArray[np.bool_], *, service: bool
    ) -> tuple[int, int]:
        """Return how many peers the source of a call has, and how many did what the call does.

        Where the call is no first one: as it is now.

        Args:
            placed: calls.
            row: which of them.
            muted: as for `place`.
            service: whether they used its service, not only called its destination.
        """
        if placed.fresh[row, 4 if service else 2]:
            return int(placed.peers[row, 0]), int(placed.peers[row, 1])
        nodes, edges, links = self.nodes, self.edges, self.links
        ends = [placed.source[row], placed.destination[row]]
        keys = [placed.calls.source[row], placed.calls.destination[row]]
        if ends[0] == ends[1] or nodes.entries["key"][ends].tolist() != keys:  # handed on since
            return 0, 0
        asked: Any = of_call
        peers, did, _ = asked(
            nodes.entries, edges.entries, edges.index, links.entries, links.index, self.known,
            self.callers, muted, *ends,
            placed.calls.service[row] if service else np.uint64(0),
        )  # fmt: skip
        return int(peers), int(did)

    def join(
        self, other: "Ground", numbers: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
    ) -> None:
        """Take the samples of all identities of `other`, and what is kept of those unknown here.

        Args:
            other: of the same sizes.
            numbers: by table, the new numbers here and the numbers there, in pairs.
        """
        for name, mine, theirs in (
            ("nodes", self.roles, other.roles), ("edges", self.born, other.born),
        ):  # fmt: skip
            new, old = numbers[name]
            mine[new] = theirs[old]
        mix: Any = join
        mix(
            self.nodes.entries, self.nodes.index, self.edges.entries, self.edges.index, self.known,
            self.callers, other.nodes.entries, other.known, len(other.nodes),
        )  # fmt: skip

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all tables' arrays by name."""
        tables = {
            "nodes": self.nodes,
            "edges": self.edges,
            "offers": self.offers,
            "links": self.links,
        }
        return {
            f"ground/{name}/{part}": getattr(table, part)
            for name, table in tables.items()
            for part in ("entries", "index", "used")
        } | {
            "ground/known": self.known,
            "ground/callers": self.callers,
            "ground/born": self.born,
            "ground/roles": self.roles,
        }

    def check(self) -> None:
        """Raise InputError `behaviour.baseline` where loaded tables would lead out of bounds."""
        for table in (self.nodes, self.edges, self.offers, self.links):
            used, index = int(table.used[0]), table.index
            fits = 0 <= used <= len(table.entries) and index.min() >= 0 and index.max() <= used
            checked: Any = finds_all
            if not fits or not checked(table.entries, index, used):
                raise InputError("behaviour.baseline", "its tables are damaged", where="baseline")
        for sample in (self.known["callees"], self.known["callers"]):
            if sample.min() < 0 or sample.max() > len(self.nodes):
                raise InputError("behaviour.baseline", "its samples are damaged", where="baseline")
        if np.count_nonzero(self.known["callees"][:, 0]) != self.callers[0]:
            raise InputError("behaviour.baseline", "its callers are miscounted", where="baseline")


@compiled
def _place(  # a kernel takes its arrays one by one
    sources: Any, destinations: Any, service: Any, hour: Any,
    nodes: Any, node_index: Any, node_used: Any,
    edges: Any, edge_index: Any, edge_used: Any,
    offers: Any, offer_index: Any, offer_used: Any,
    links: Any, link_index: Any, link_used: Any,
    known: Any, callers: Any, born: Any, roles: Any, muted: Any,
    numbers: Any, fresh: Any, age: Any, peers: Any, unlike: Any,
) -> None:  # fmt: skip
    """Number all five; what is too large to be inlined is called where one is not found at once."""
    node_mask, edge_mask = node_index.size - 1, edge_index.size - 1
    offer_mask, link_mask = offer_index.size - 1, link_index.size - 1
    for i in range(sources.size):
        h, a, b, offered = hour[i], sources[i], destinations[i], service[i]
        both = pair(a, b)
        source: Any = node_index[home(a, node_mask)] - 1
        if source < 0 or not is_seen(nodes[source], a, h):
            source, fresh[i, 0] = number_of(nodes, node_index, node_used, a, h)
            if fresh[i, 0]:
                forget(known, callers, source)
                roles[source] = 0
        destination: Any = node_index[home(b, node_mask)] - 1
        if destination < 0 or not is_seen(nodes[destination], b, h):
            destination, fresh[i, 1] = number_of(nodes, node_index, node_used, b, h)
            if fresh[i, 1]:
                forget(known, callers, destination)
                roles[destination] = 0
        if not roles[source] & 1:
            roles[source] |= 1
            fresh[i, AS_SOURCE] = True
        if not roles[destination] & 2:
            roles[destination] |= 2
            fresh[i, AS_DESTINATION] = True
        edge: Any = edge_index[home(both, edge_mask)] - 1
        if edge < 0 or not is_seen(edges[edge], both, h):
            edge, fresh[i, 2] = number_of(edges, edge_index, edge_used, both, h)
        if fresh[i, 2]:
            born[edge] = h
            if source != destination and not fresh[i, 0] and not fresh[i, 1]:
                peers[i, 0], peers[i, 1], unlike[i] = of_contact(
                    nodes, edges, edge_index, known, callers, muted, source, destination
                )
            if source != destination and not muted[source] and not muted[destination]:
                meet(nodes, edges, edge_index, known, callers, source, destination)
        age[i] = h - born[edge]
        of_b, of_both = pair(b, offered), pair(both, offered)
        offer: Any = offer_index[home(of_b, offer_mask)] - 1
        if offer < 0 or not is_seen(offers[offer], of_b, h):
            offer, fresh[i, 3] = number_of(offers, offer_index, offer_used, of_b, h)
        link: Any = link_index[home(of_both, link_mask)] - 1
        if link < 0 or not is_seen(links[link], of_both, h):
            link, fresh[i, 4] = number_of(links, link_index, link_used, of_both, h)
        if fresh[i, 4] and source != destination and not fresh[i, 2] and not fresh[i, 3]:
            peers[i, 0], peers[i, 1], unlike[i] = of_use(
                nodes, edges, edge_index, links, link_index, known, muted, source, destination,
                offered,
            )  # fmt: skip
        numbers[0, i], numbers[1, i] = source, destination
        numbers[2, i], numbers[3, i], numbers[4, i] = edge, offer, link
