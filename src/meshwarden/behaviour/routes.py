"""Routes out of raw paths: what identifies one thing becomes `{}`, what names a kind stays.

Two kinds of evidence, in this order:

1. Form. Numbers, UUIDs, hashes, dates, addresses and long opaque texts are identifiers wherever
   they stand (`identifiers`).
2. Use. Each service has a tree of the segments seen below each prefix. Where a position shows too
   many different segments that hardly ever come again, they are identifiers as well: the position
   becomes `{}`, but for the words that come far more often than the rest (`/users/me`).

Words need more evidence than texts with digits or capitals, and a position with few segments, or
with many that all recur, keeps them: sixty resources of one API are not swallowed. Memory is
bounded: positions, children of a position, and the tree as a whole; beyond the whole's bound an
unknown segment is `{}`.

This is for the record and for learning, never for decisions: an access policy has templates of its
own. Not thread-safe.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshwarden.behaviour.identifiers import without_identifiers

HOLE: Final = "{}"
MAX_SEGMENTS: Final = 12
_REST: Final = "**"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLimits:
    """When a position is taken for identifiers, and the bounds.

    Attributes:
        evidence: sum of the weights of different segments at which a position is judged. A lower
            value swallows small vocabularies, a higher one lets more identifiers through first.
        word_weight: of a segment made of letters, hyphens and underscores; others weigh 1.
        rare_share: share of segments seen once or twice from which on the position is identifiers.
        children: different segments at one position, at which it is identifiers in any case.
        kept: words that survive in a position of identifiers, at most.
        keep_factor: how many times more often than the average of the rest such a word came.
        nodes: of all trees together.
        cached: raw paths remembered with their routes.
    """

    evidence: float = 24.0
    word_weight: float = 0.25
    rare_share: float = 0.5
    children: int = 384
    kept: int = 32
    keep_factor: float = 8.0
    nodes: int = 50_000
    cached: int = 65_536


@dataclass(slots=True)
class _Node:
    """One position: what stood there, how often, and whether it holds identifiers."""

    count: int = 0
    children: dict[str, "_Node"] = field(default_factory=dict)
    collapsed: bool = False
    judged: int = 0
    newcomers: dict[str, int] = field(default_factory=dict)


class RouteLearner:
    """Learns and names the routes of services.

    >>> learner = RouteLearner()
    >>> learner.route("ledger", "/v1/accounts/12345/entries?from=2026-01-01")
    '/v1/accounts/{}/entries'
    """

    def __init__(self, limits: RouteLimits | None = None) -> None:
        self._limits = limits or RouteLimits()
        self._root = _Node()
        self._nodes = 0
        self._cache: dict[tuple[str, tuple[str, ...]], str] = {}

    @property
    def nodes(self) -> int:
        """How many segments are remembered; never more than the limit."""
        return self._nodes

    def route(self, service: str, raw_path: str) -> str:
        """Observe `raw_path` (a path or URL, query and all) at `service` and return its route."""
        self.observe(service, raw_path)
        return self.name(service, raw_path)

    def routes(self, calls: Sequence[tuple[str, str]]) -> list[str]:
        """Observe all (service, raw path) of `calls`, then return the route of each.

        The first calls of a batch profit from the last ones.
        """
        times = Counter(calls)
        named = dict(zip(times, self.routes_of(times), strict=True))
        return [named[call] for call in calls]

    def routes_of(self, times: Mapping[tuple[str, str], int]) -> list[str]:
        """Observe each (service, raw path) so many `times`, then return the route of each."""
        shapes = [(service, segments_of(path)) for service, path in times]
        seen: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for shape, count in zip(shapes, times.values(), strict=True):
            seen[shape] += count
        for (service, segments), count in seen.items():
            self._observe(service, segments, count)
        return [self._name(service, segments) for service, segments in shapes]

    def observe(self, service: str, raw_path: str) -> None:
        """Learn from a call of `raw_path` at `service`."""
        self._observe(service, segments_of(raw_path), 1)

    def name(self, service: str, raw_path: str) -> str:
        """Return the route of `raw_path` at `service` as far as it is known; learns nothing."""
        return self._name(service, segments_of(raw_path))

    def _observe(self, service: str, segments: tuple[str, ...], times: int) -> None:
        node = self._child(self._root, service, times)
        for segment in segments:
            if node is None or segment == _REST:
                return
            node = self._step(node, segment, times)

    def _name(self, service: str, segments: tuple[str, ...]) -> str:
        key = (service, segments)
        known = self._cache.get(key)
        if known is None:
            known = self._named(service, segments)
            if len(self._cache) >= self._limits.cached:
                self._cache.clear()
            self._cache[key] = known
        return known

    def _step(self, node: _Node, segment: str, times: int) -> _Node | None:
        if segment in node.children:
            return self._child(node, segment, times)
        if not node.collapsed:
            child = self._child(node, segment, times)
            self._judge(node)
            return child if not node.collapsed else node.children.get(HOLE)
        self._promote(node, segment, times)
        return self._child(node, HOLE, times)

    def _child(self, node: _Node, segment: str, times: int) -> _Node | None:
        child = node.children.get(segment)
        if child is None:
            if self._nodes >= self._limits.nodes:
                return None
            child = node.children[segment] = _Node()
            self._nodes += 1
            self._cache.clear()
        child.count += times
        return child

    def _judge(self, node: _Node) -> None:
        """Decide whether the segments at `node` are identifiers; each doubling, not each call."""
        different = len(node.children)
        if different < node.judged * 1.25:
            return
        limits = self._limits
        weights = sum(self._weight(segment) for segment in node.children)
        if different < limits.children and weights < limits.evidence:
            return
        node.judged = different
        rare = sum(child.count <= 2 for child in node.children.values())
        if different >= limits.children or rare >= limits.rare_share * different:
            self._collapse(node)

    def _weight(self, segment: str) -> float:
        if segment == HOLE:
            return 0.0
        word = segment.replace("-", "").replace("_", "").replace(".", "")
        return self._limits.word_weight if word.isalpha() and word.islower() else 1.0

    def _collapse(self, node: _Node) -> None:
        before = _size(node)
        kept = self._words(node)
        hole = node.children.get(HOLE) or _Node()
        for segment, child in node.children.items():
            if segment not in kept and child is not hole:
                self._merge(hole, child)
        node.children = {segment: node.children[segment] for segment in kept} | {HOLE: hole}
        node.collapsed = True
        self._cache.clear()
        self._nodes += _size(node) - before

    def _words(self, node: _Node) -> list[str]:
        """Return the segments that came far more often than the average of the rest."""
        ranked = sorted(
            (segment for segment in node.children if segment != HOLE),
            key=lambda segment: (-node.children[segment].count, segment),
        )
        rest = ranked[self._limits.kept :]
        mean = sum(node.children[s].count for s in rest) / len(rest) if rest else 1.0
        most = max(3.0, mean * self._limits.keep_factor)
        return [s for s in ranked[: self._limits.kept] if node.children[s].count >= most]

    def _merge(self, into: _Node, other: _Node) -> None:
        """Put the tree of `other` into that of `into`; the whole never grows by it."""
        into.count += other.count
        into.collapsed = into.collapsed or other.collapsed
        for segment, child in other.children.items():
            target = HOLE if into.collapsed and segment not in into.children else segment
            known = into.children.setdefault(target, _Node())
            self._merge(known, child)

    def _promote(self, node: _Node, segment: str, times: int) -> None:
        """Let a word that keeps coming into a position of identifiers be a word (Misra-Gries)."""
        seen = node.newcomers
        if segment in seen or len(seen) < self._limits.kept:
            seen[segment] = seen.get(segment, 0) + times
        else:
            node.newcomers = {word: n - times for word, n in seen.items() if n > times}
            return
        hole = node.children[HOLE].count
        words = len(node.children) - 1
        if seen[segment] >= max(50, hole // 50) and words < 2 * self._limits.kept:
            del seen[segment]
            self._child(node, segment, times)

    def _named(self, service: str, segments: tuple[str, ...]) -> str:
        node = self._root.children.get(service)
        route: list[str] = []
        for segment in segments:
            if segment == _REST:
                route.append(segment)
                break
            child = node.children.get(segment) if node else None
            full = self._nodes >= self._limits.nodes
            if child is None and segment and ((node and node.collapsed) or full):
                segment = HOLE  # noqa: PLW2901
                child = node.children.get(HOLE) if node else None
            route.append(segment)
            node = child
        return "/" + "/".join(route)


def route_by_form(raw_path: str) -> str:
    """Return the route of a path or URL as far as form alone tells it; learns nothing.

    >>> route_by_form("/v1/accounts/7/entries/0f2b7a52-5d1c-4a0e-9f0e-6a2b0a4f9c11?all=1")
    '/v1/accounts/{}/entries/{}'
    """
    return "/" + "/".join(segments_of(raw_path))


def segments_of(raw_path: str) -> tuple[str, ...]:
    """Return the segments of a path or URL, identifiers by form replaced, at most 12 and `**`."""
    path = raw_path.partition("?")[0].partition("#")[0]
    if "://" in path[:12]:
        path = path.partition("://")[2].partition("/")[2]
    parts = path.removeprefix("/").split("/", MAX_SEGMENTS)
    kept = tuple(map(without_identifiers, parts[:MAX_SEGMENTS]))
    return (*kept, _REST) if len(parts) > MAX_SEGMENTS else kept


def _size(node: _Node) -> int:
    return 1 + sum(_size(child) for child in node.children.values())
