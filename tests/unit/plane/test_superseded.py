"""Which connections are counted to which certificate of a service."""

from collections.abc import Iterable

from meshwarden.adapters.network.established import Connection
from meshwarden.control.plane.severing import Marked
from meshwarden.control.plane.superseded import Superseded


def connection(number: int) -> Connection:
    return Connection(("10.213.0.10", number), ("10.213.0.11", 15443), bytes([number] * 8))


class World:
    """One service and the connections that its sidecar has."""

    def __init__(self) -> None:
        self.open: set[Connection] | None = set()
        self.superseded = Superseded(mark=self._mark)

    def _mark(self, services: Iterable[str]) -> Marked:
        return {} if self.open is None else dict.fromkeys(services, frozenset(self.open))

    def begin(self, *numbers: int) -> None:
        assert self.open is not None
        self.open |= {connection(number) for number in numbers}

    def presents(self, sha256: str, *known: str) -> None:
        self.superseded.presents("front", sha256, known=known)

    def begun(self, *digests: str) -> list[int]:
        found = self.superseded.begun(set(digests)).get("front", frozenset())
        return sorted(one.local[1] for one in found)

    def spared(self, *digests: str) -> list[int]:
        found = self.superseded.spared("front", set(digests))
        return sorted(one.local[1] for one in found)


def test_connections_are_counted_to_the_certificate_that_they_were_begun_under() -> None:
    world = World()
    world.presents("a", "a")
    world.begin(1)
    world.presents("b", "a", "b")
    world.begin(2)
    world.presents("c", "a", "b", "c")
    world.begin(3)
    assert (world.begun("a"), world.begun("b"), world.begun("c")) == ([1], [2], [])
    assert world.begun("a", "b") == [1, 2]
    assert (world.spared("c"), world.spared("a")) == ([1, 2], [2])


def test_a_certificate_that_is_confirmed_again_changes_nothing() -> None:
    world = World()
    world.presents("a", "a")
    world.begin(1)
    world.presents("a", "a")
    world.presents("b", "a", "b")
    world.begin(2)
    world.presents("b", "a", "b")
    assert world.begun("a") == [1]


def test_what_was_there_before_the_start_is_counted_to_each_certificate_before() -> None:
    world = World()
    world.begin(1)
    world.presents("c", "a", "b", "c")
    assert world.begun("a") == world.begun("b") == [1]
    assert world.spared("a") == []
    assert world.spared("c") == [1]


def test_what_has_ended_is_forgotten() -> None:
    world = World()
    world.presents("a", "a")
    world.begin(1, 2)
    world.presents("b", "a", "b")
    assert world.open is not None
    world.open.remove(connection(1))
    world.presents("c", "a", "b", "c")
    assert world.begun("a") == [2]
    world.presents("d", "c", "d")
    assert world.begun("a") == []


def test_what_the_kernel_does_not_tell_is_counted_at_the_next_time() -> None:
    world = World()
    world.presents("a", "a")
    world.begin(1)
    there, world.open = world.open, None
    world.presents("b", "a", "b")
    assert world.begun("a") == []
    world.open = there
    world.presents("c", "a", "b", "c")
    assert world.begun("a") == [1]
