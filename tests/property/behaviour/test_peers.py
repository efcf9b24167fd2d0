"""Peers: as few identities have them as the definition says, and no number leads anywhere else."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.behaviour_world import SECOND, SMALL, START, call, table

from meshwarden.behaviour import Settings
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.ground import Ground
from meshwarden.behaviour.samples import PLACES

_pair = st.tuples(st.integers(0, PLACES), st.integers(0, PLACES))
_pairs = st.lists(_pair.filter(lambda each: each[0] != each[1]), max_size=60)


def _placed(ground: Ground, edges: list[tuple[int, int]], cuts: list[int]) -> NDArray[np.int16]:
    encoded = encode(table([call(START + SECOND, f"n{a}", f"n{b}") for a, b in edges]))
    bounds = sorted({0, len(edges), *(cut % (len(edges) + 1) for cut in cuts)})
    parts = [encoded.part(a, b) for a, b in pairwise(bounds)]
    return np.concatenate(
        [np.zeros((0, 2), np.int16), *(ground.place(each, each.time).peers for each in parts)]
    )


def _defined(edges: list[tuple[int, int]]) -> list[list[int]]:
    """Return peers, and how many of them did it, by the definition, where all are sampled."""
    calls: dict[int, set[int]] = {}
    known: set[int] = set()
    counts = []
    for a, b in edges:
        mine = calls.get(a, set())
        peers = [c for c in calls if c not in {a, b} and 2 * len(mine & calls[c]) >= len(mine) > 0]
        first = {a, b} <= known and b not in mine
        counts.append([len(peers), sum(b in calls[c] for c in peers)] if first else [0, 0])
        calls.setdefault(a, set()).add(b)
        known |= {a, b}
    return counts


@settings(max_examples=200, deadline=None)
@given(_pairs, st.lists(st.integers(0, 60), max_size=3))
def test_peers_are_those_of_the_definition_where_all_fit_into_the_samples(
    edges: list[tuple[int, int]], cuts: list[int]
) -> None:
    assert _placed(Ground(SMALL), edges, cuts).tolist() == _defined(edges)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=400))
def test_numbers_that_are_handed_on_leave_samples_sound(edges: list[tuple[int, int]]) -> None:
    """Sixteen numbers for sixty identities."""
    ground = Ground(Settings(node_bits=4, edge_bits=5, link_bits=6))
    peers = _placed(ground, edges, [])
    ground.check()
    assert (peers[:, 1] <= peers[:, 0]).all()
    assert (peers[:, 0] < 16).all()
