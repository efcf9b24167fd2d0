"""Who is connected to the Workload API, and how much each process, user and all together hold.

None keeps the others out: what is over a bound is refused to the one that holds so much.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from meshwarden.identity import ProcessFacts

Instance = tuple[int, int]


class Connected(Protocol):
    """A connection of an attested process."""

    @property
    def facts(self) -> ProcessFacts:
        """Whose it is."""
        ...


One = TypeVar("One", bound=Connected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much one caller may hold.

    Attributes:
        connections: of all callers.
        per_user: connections of one user; a quarter of `connections` leaves room for others.
        per_process: connections of one process.
        streams: calls of one process at a time, over all its connections.
    """

    connections: int = 16_384
    per_user: int = 4096
    per_process: int = 64
    streams: int = 256


@dataclass(kw_only=True)
class Callers(Generic[One]):
    """The connections of all callers, and the streams of each.

    Attributes:
        bounds: see there.
        connections: all of them.
        streams: how many each process has open; none at zero.
    """

    bounds: Bounds
    connections: set[One] = field(init=False, default_factory=set)
    streams: Counter[Instance] = field(init=False, default_factory=Counter)
    _by_instance: dict[Instance, set[One]] = field(init=False, default_factory=dict)
    _users: Counter[int] = field(init=False, default_factory=Counter)

    def has(self, instance: Instance) -> bool:
        """Return whether the process is connected."""
        return instance in self._by_instance

    def of(self, instances: Iterable[Instance]) -> list[One]:
        """Return the connections of some processes."""
        return [one for each in instances for one in self._by_instance.get(each, ())]

    def room_for(self, uid: int) -> bool:
        """Return whether the user may have one more connection."""
        return (
            len(self.connections) < self.bounds.connections
            and self._users[uid] < self.bounds.per_user
        )

    def enter(self, connection: One) -> bool:
        """Count a connection; return whether its process may have it."""
        own = self._by_instance.setdefault(connection.facts.instance, set())
        if len(own) >= self.bounds.per_process:
            return False
        own.add(connection)
        self.connections.add(connection)
        self._users[connection.facts.uid] += 1
        return True

    def leave(self, connection: One) -> None:
        """Count a connection no more."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self._users[connection.facts.uid] -= 1
        self._users += Counter()  # forgets those at zero
        own = self._by_instance[connection.facts.instance]
        own.discard(connection)
        if not own:
            del self._by_instance[connection.facts.instance]

    def may_open(self, instance: Instance) -> bool:
        """Count a stream of a process; return whether it may have it."""
        if self.streams[instance] >= self.bounds.streams:
            return False
        self.streams[instance] += 1
        return True

    def closed(self, instance: Instance) -> None:
        """Count a stream no more."""
        self.streams[instance] -= 1
        if self.streams[instance] <= 0:
            del self.streams[instance]
