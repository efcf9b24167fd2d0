"""The rules of one service as routes: requests, and all callers that may send them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import Rule
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.grant import Grant
from meshwarden.policy.reach.tree import Tree, generic_paths

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)
"""What the API takes as a route's method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Requests that Linkerd decides alike.

    Attributes:
        method: None = any.
        pattern: None = any path.
        callers: all whom some rule allows each of these requests.
        rule: the first rule that it stands for.
    """

    method: str | None
    pattern: PathPattern | None
    callers: frozenset[SpiffeId]
    rule: Rule


def routes_of(rules: Iterable[Rule]) -> list[Route]:
    """Return the routes of rules about requests without tokens, in the order of the file.

    A route for any method decides also where a wider rule names a method; so that its callers are
    not refused, such a method gets a route of its own, which goes before.
    """
    grants = [Grant(rule=rule, order=order) for order, rule in enumerate(rules)]
    tree = Tree.of(grants)
    first: dict[tuple[str | None, PathPattern | None], Rule] = {}
    for grant in grants:
        for key in _keys(grant.rule):
            first.setdefault(key, grant.rule)
    covering = {pattern: list(_covering(tree, grants, pattern)) for _, pattern in first}
    for (method, pattern), rule in list(first.items()):
        if method is None:
            named = {m for grant in covering[pattern] for m in grant.methods or ()}
            for each in sorted(named & METHODS):
                first.setdefault((each, pattern), rule)
    return [
        Route(
            method=method,
            pattern=pattern,
            callers=frozenset(
                source
                for grant in covering[pattern]
                if grant.takes(method)
                for source in grant.rule.sources
            ),
            rule=rule,
        )
        for (method, pattern), rule in first.items()
    ]


def _keys(rule: Rule) -> Iterator[tuple[str | None, PathPattern | None]]:
    for method in sorted(rule.methods & METHODS) if rule.methods is not None else [None]:
        for pattern in rule.paths if rule.paths is not None else [None]:
            yield method, pattern


def _covering(tree: Tree, grants: Iterable[Grant], pattern: PathPattern | None) -> Iterable[Grant]:
    """Return the grants that allow every path of `pattern`."""
    if pattern is None:
        return [grant for grant in grants if grant.rule.paths is None]
    if not pattern.rest:
        return tree.matching(pattern.segments)
    paths = [tree.matching(path) for path in generic_paths(pattern, tree.depth)]
    return set.intersection(*(set(found) for found in paths))


def losing(routes: list[Route]) -> Iterator[tuple[Route, Route]]:
    """Yield pairs of which the second may decide a request of the first, and refuse its callers.

    One pair for each first: it is enough to know that, and where, the two differ.
    """
    tree = Tree()
    for order, route in enumerate(routes):
        if route.pattern is not None:
            tree.add(route.pattern, Grant(rule=route.rule, order=order))
    slash = [route for route in routes if route.pattern is None]
    for route in routes:
        if route.pattern is None:
            continue
        met = [] if route.pattern.segments != ("",) else slash
        others = (routes[grant.order] for grant in tree.meeting(route.pattern))
        for other in (*met, *others):
            if _may_refuse(other, route):
                yield route, other
                break


def _may_refuse(other: Route, route: Route) -> bool:
    """Whether `other` may be chosen for a request of both, and lacks callers of `route`."""
    alike = other.method == route.method or route.method is None
    return alike and not route.callers <= other.callers
