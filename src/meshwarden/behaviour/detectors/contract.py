"""What every detector is: it scores calls, learns them, says why, and can be kept and joined.

A detector keeps what it learned in named arrays, one element for each number of `Ground` (or for
the whole). It gives one or more *channels*: for each call a surprise in nats, 0 where nothing is
odd. Surprise is -ln p under the detector's own predictive distribution; that this p is honest is
not assumed (see `calibrate`).
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from meshwarden.behaviour.ground import Placed

EDGE, SOURCE, DESTINATION = 0, 1, 2
Surprise = NDArray[np.float32]
State = dict[str, NDArray[Any]]
_APART: Final = 24  # floats


def silent(channels: int, calls: int) -> Surprise:
    """Return room for surprises, all 0: float32[channels, calls].

    Channels lie a little apart: at 4,096 calls they would all fall on the same few lines of the
    processor's cache, and a loop over the channels of a call would wait for each.
    """
    return np.zeros((channels, calls + _APART), np.float32)[:, :calls]


class Detector(ABC):
    """One way of looking at calls.

    Attributes:
        name: short and stable.
        channels: names of what it gives, in order.
        families: of each channel: those of one family say much the same and are judged together.
        subjects: of each channel, whom it is about: 0 the edge, 1 the source, 2 the destination.
        tables: by how the name of a state begins, whose numbers its elements have (`nodes`,
            `edges`, `links`); states of the whole are left out.
        state: arrays by name; the whole of what was learned. `stated`, where there is one: bool,
            whether calls ever stated what a part of it needs, which is skipped until then.
    """

    name: ClassVar[str]
    channels: ClassVar[tuple[str, ...]]
    families: ClassVar[tuple[str, ...]]
    subjects: ClassVar[tuple[int, ...]]
    tables: ClassVar[dict[str, str]]
    state: State

    @abstractmethod
    def observe(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """Score each call, then learn it; in order.

        Args:
            placed: the calls.
            muted: by number of identity: what it does is not learned, because it is alarming.

        Returns:
            float32[channels, n], nats, finite, not negative.
        """

    def score(self, placed: Placed, muted: NDArray[np.bool_]) -> Surprise:
        """Return what `observe` would, and learn nothing."""
        kept = {name: array.copy() for name, array in self.state.items()}
        try:
            return self.observe(placed, muted)
        finally:
            for name, array in kept.items():
                self.state[name][...] = array

    def save(self) -> State:
        """Return a copy of what was learned."""
        return {name: array.copy() for name, array in self.state.items()}

    def load(self, state: State) -> Self:
        """Take what `save` returned, of the same sizes; ValueError where it does not fit."""
        for name, array in self.state.items():
            array[...] = state[name]
        return self

    def explain(self, surprise: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        """Return channels and nats of one call, those that speak, loudest first."""
        spoken = [(c, float(x)) for c, x in zip(self.channels, surprise, strict=True) if x > 0]
        return tuple(sorted(spoken, key=lambda each: -each[1]))

    def other_edge(self, source: int) -> int | None:
        """Return the number of the edge that an alarm at a call of `source` is about.

        None: that of the call itself, as everywhere but where nobody calls.
        """
        del source
        return None

    def is_sound(self, nodes: int, edges: int) -> bool:
        """Return whether numbers in a state that was loaded are below those given out."""
        del nodes, edges
        return True

    def merge(self, other: Self, numbers: dict[str, tuple[NDArray[Any], NDArray[Any]]]) -> None:
        """Take what `other` knows about keys that are unknown here.

        Args:
            other: the same kind, same sizes.
            numbers: by table, the new numbers here and the numbers there, in pairs.
        """
        for name, array in self.state.items():
            table = next((t for start, t in self.tables.items() if name.startswith(start)), None)
            if table is not None:
                mine, theirs = numbers[table]
                array[..., mine] = other.state[name][..., theirs]
            elif name == "stated":
                array[...] = array | other.state[name]
