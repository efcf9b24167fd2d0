"""The path patterns of one caller at one callee, as a trie of segments.

Three questions, each answered in steps that grow with the depth of a path, not with the number of
rules:

- `matching`: which grants match this path?
- `covering`: is every path of a pattern matched by some grant that qualifies? A placeholder takes
  any segment, and there are always segments that no pattern spells out. So where a pattern is not
  covered, then neither is one of its `generic_paths`, and where these are, it is: the test is
  exact, also for unions of patterns.
- `meeting`: which grants share at least one path with a pattern?

A path is a list of segments ("" only as the last one: a trailing slash); `FRESH` is a segment that
no literal equals.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshwarden.policy.model import Rule
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.grant import Grant

FRESH: Final = None
Segments = Sequence[str | None]


@dataclass(slots=True)
class Node:
    """One segment deep: where literals and placeholders lead, and which grants end here."""

    literal: dict[str | None, "Node"] = field(default_factory=dict)
    any: "Node | None" = None
    ends: list[Grant] = field(default_factory=list)
    rests: list[Grant] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """A trie of patterns.

    Attributes:
        root: the node of the empty path.
        depth: segments of the longest pattern.
    """

    root: Node = field(default_factory=Node)
    depth: int = 0

    @classmethod
    def of(cls, grants: Iterable[Grant]) -> "Tree":
        """Return the trie of all patterns of `grants`."""
        tree = cls()
        for grant in grants:
            for pattern in grant.patterns:
                tree.add(pattern, grant)
        return tree

    def add(self, pattern: PathPattern, grant: Grant) -> None:
        """Put one pattern in."""
        node = self.root
        for segment in pattern.segments:
            if segment is None:
                node.any = node.any or Node()
                node = node.any
            else:
                node = node.literal.setdefault(segment, Node())
        (node.rests if pattern.rest else node.ends).append(grant)
        self.depth = max(self.depth, len(pattern.segments))

    def matching(self, segments: Segments) -> list[Grant]:
        """Return all grants that match the path; one may stand twice.

        Mostly one way leads on from each node; only where several do are they kept side by side.
        """
        node = self.root
        for segment in segments:
            below = node.literal.get(segment)
            if node.any is not None and segment != "":
                if below is not None:
                    return _matching([self.root], segments)
                below = node.any
            if node.rests:
                return _matching([self.root], segments)
            if below is None:
                return []
            node = below
        return node.ends

    def uncovered(
        self, pattern: PathPattern, qualifies: Callable[[Grant], bool]
    ) -> Segments | None:
        """Return a path of `pattern` that no qualifying grant matches; None where there is none."""
        if not pattern.rest:  # nearly all are; they have one generic path
            allowing = self.matching(pattern.segments)
            return None if any(map(qualifies, allowing)) else pattern.segments
        for segments in generic_paths(pattern, self.depth):
            if not any(map(qualifies, self.matching(segments))):
                return segments
        return None

    def meeting(self, pattern: PathPattern) -> Iterator[Grant]:
        """Yield the grants that share a path with `pattern`; one may come twice."""
        nodes = [self.root]
        for segment in pattern.segments:
            below: list[Node] = []
            for node in nodes:
                if segment != "":
                    yield from node.rests
                below += _children(node, segment)
            nodes = below
        for node in nodes:
            if pattern.rest:
                yield from node.rests
                for child in _children(node, FRESH):
                    yield from _all_below(child)
            else:
                yield from node.ends

    def literals(self) -> set[str | None]:
        """Return every segment that some pattern spells out."""
        found: set[str | None] = set()
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            found |= node.literal.keys()
            waiting += node.literal.values()
            waiting += [node.any] if node.any is not None else []
        return found


def _matching(nodes: list[Node], segments: Segments) -> list[Grant]:
    found: list[Grant] = []
    for segment in segments:
        below: list[Node] = []
        for node in nodes:
            child = node.literal.get(segment)
            if child is not None:
                below.append(child)
            if segment != "":
                if node.any is not None:
                    below.append(node.any)
                found += node.rests
        nodes = below
    for node in nodes:
        found += node.ends
    return found


def meet(one: PathPattern, other: PathPattern) -> bool:
    """Return whether some path matches both."""
    alone = Tree()
    alone.add(one, _SOMEONE)
    return next(alone.meeting(other), None) is not None


def within(one: PathPattern, other: PathPattern) -> bool:
    """Return whether every path that matches `one` matches `other`."""
    alone = Tree()
    alone.add(other, _SOMEONE)
    return alone.uncovered(one, lambda _: True) is None


def generic_paths(pattern: PathPattern, depth: int) -> Iterator[Segments]:
    """Yield paths of `pattern` that stand for all of it, against a trie of that depth.

    A pattern without `/**` has one. With it, the number of further segments matters, and whether a
    slash ends them, until they are deeper than any pattern of the trie.
    """
    if not pattern.rest:
        yield pattern.segments
        return
    for further in range(1, max(1, depth - len(pattern.segments) + 1) + 1):
        path = pattern.segments + (FRESH,) * further
        yield path
        yield (*path, "")


def _children(node: Node, segment: str | None) -> list[Node]:
    """Return where a literal segment, or (FRESH) any segment that is not empty, may lead."""
    if segment is not FRESH:
        found = [node.literal[segment]] if segment in node.literal else []
    else:
        found = [child for literal, child in node.literal.items() if literal != ""]
    if segment != "" and node.any is not None:
        found.append(node.any)
    return found


def _all_below(node: Node) -> Iterator[Grant]:
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield from found.ends
        yield from found.rests
        waiting += found.literal.values()
        if found.any is not None:
            waiting.append(found.any)


_SOMEONE: Final = Grant(rule=Rule(name="", sources=()), order=0)
