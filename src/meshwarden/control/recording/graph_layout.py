"""A small layered layout (Sugiyama) for graphs of some dozens of parties, callers to the left.

1. Edges that close a cycle are turned for the layout. 2. Each node gets the layer of its longest
path. 3. Edges over several layers get a bend in each. 4. Sweeps order each layer by the mean place
of the neighbours. 5. Rows are spread without overlap. The same graph always gives the same picture.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

Link = tuple[str, str]
_SWEEPS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Places of nodes, and bends of links.

    Attributes:
        layer: the column of each node, from 0.
        row: the vertical place of each node, in rows (fractions occur).
        bends: for each link the rows at which it crosses the columns between its ends, from source
            to target as given; empty where the ends are neighbours.
    """

    layer: Mapping[str, int]
    row: Mapping[str, float]
    bends: Mapping[Link, tuple[tuple[int, float], ...]]


def lay_out(nodes: Sequence[str], links: Sequence[Link]) -> Layout:
    """Return a layout of `nodes` and the `links` between them (links to oneself are ignored)."""
    proper = [link for link in dict.fromkeys(links) if link[0] != link[1]]
    forward = _acyclic(nodes, proper)
    layer = _layers(nodes, forward)
    chains = {link: _chain(link, layer) for link in forward}
    columns = _columns(nodes, layer, chains)
    around = _neighbours(chains)
    _order(columns, around)
    row = _rows(columns, around)
    bends: dict[Link, tuple[tuple[int, float], ...]] = {}
    for (tail, head), chain in chains.items():
        inner = [(layer[tail] + i, row[name]) for i, name in enumerate(chain[1:-1], start=1)]
        for link in ((tail, head), (head, tail)):
            if link in proper:
                bends[link] = tuple(inner if link == (tail, head) else reversed(inner))
    return Layout(layer=layer, row={node: row[node] for node in nodes}, bends=bends)


def _acyclic(nodes: Sequence[str], links: Sequence[Link]) -> list[Link]:
    """Return the links, those that close a cycle turned round, each pair once."""
    targets: dict[str, list[str]] = defaultdict(list)
    incoming: dict[str, int] = defaultdict(int)
    for tail, head in links:
        targets[tail].append(head)
        incoming[head] += 1
    found: dict[Link, None] = {}
    state: dict[str, int] = {}
    for root in sorted(nodes, key=lambda node: (incoming[node], node)):
        stack = [(root, iter(targets[root]))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            node, rest = stack[-1]
            head = next(rest, "")
            if not head:
                state[node] = 2
                stack.pop()
                continue
            turned = state.get(head) == 1
            link = (head, node) if turned else (node, head)
            if (link[1], link[0]) not in found:
                found[link] = None
            if head not in state:
                state[head] = 1
                stack.append((head, iter(targets[head])))
    return list(found)


def _layers(nodes: Sequence[str], links: Sequence[Link]) -> dict[str, int]:
    layer = dict.fromkeys(nodes, 0)
    for _ in nodes:
        changed = False
        for tail, head in links:
            if layer[head] <= layer[tail]:
                layer[head] = layer[tail] + 1
                changed = True
        if not changed:
            break
    return layer


def _chain(link: Link, layer: Mapping[str, int]) -> list[str]:
    tail, head = link
    between = range(layer[tail] + 1, layer[head])
    return [tail, *(f"\0{tail}\0{head}\0{column}" for column in between), head]


def _columns(
    nodes: Sequence[str], layer: Mapping[str, int], chains: Mapping[Link, Sequence[str]]
) -> list[list[str]]:
    columns: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node in nodes:
        columns[layer[node]].append(node)
    for (tail, _), chain in chains.items():
        for offset, name in enumerate(chain[1:-1], start=1):
            columns[layer[tail] + offset].append(name)
    return columns


def _neighbours(chains: Mapping[Link, Sequence[str]]) -> dict[str, list[str]]:
    around: dict[str, list[str]] = defaultdict(list)
    for chain in chains.values():
        for one, other in pairwise(chain):
            around[one].append(other)
            around[other].append(one)
    return around


def _order(columns: list[list[str]], around: Mapping[str, list[str]]) -> None:
    """Sort each column by the mean place of its neighbours in the column last sorted."""
    for sweep in range(_SWEEPS):
        span = range(1, len(columns)) if sweep % 2 == 0 else range(len(columns) - 2, -1, -1)
        for index in span:
            beside = columns[index - 1] if sweep % 2 == 0 else columns[index + 1]
            place = {name: i for i, name in enumerate(beside)}
            here = {name: i for i, name in enumerate(columns[index])}
            columns[index].sort(key=lambda name: (_mean(name, around, place, here[name]), name))


def _mean(
    name: str, around: Mapping[str, list[str]], place: Mapping[str, float], default: float
) -> float:
    places = [place[other] for other in around.get(name, ()) if other in place]
    return sum(places) / len(places) if places else default


def _rows(columns: list[list[str]], around: Mapping[str, list[str]]) -> dict[str, float]:
    """Pull each node towards its neighbours; keep the order and a distance of one row."""
    row = {
        name: index - (len(column) - 1) / 2
        for column in columns
        for index, name in enumerate(column)
    }
    for sweep in range(_SWEEPS):
        ordered = columns if sweep % 2 == 0 else columns[::-1]
        for column in ordered:
            wanted = [_mean(name, around, row, row[name]) for name in column]
            row |= dict(zip(column, _apart(wanted), strict=True))
    lowest = min(row.values(), default=0)
    return {name: place - lowest for name, place in row.items()}


def _apart(wanted: Sequence[float]) -> list[float]:
    """Return places near `wanted`, in the same order, at least one apart (pooled means)."""
    groups: list[tuple[float, int]] = []  # (mean of wanted minus index, size)
    for index, place in enumerate(wanted):
        groups.append((place - index, 1))
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            (one, m), (other, n) = groups[-2:]
            groups[-2:] = [((one * m + other * n) / (m + n), m + n)]
    places: list[float] = []
    for base, size in groups:
        places += [base + len(places) + i for i in range(size)]
    return places
