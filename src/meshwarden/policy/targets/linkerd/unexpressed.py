"""What Linkerd cannot enforce of one service; all of it is refused there."""

from collections.abc import Iterator
from typing import Final

from meshwarden.policy.model import Rule, Service
from meshwarden.policy.targets.cluster import Cluster, place_of
from meshwarden.policy.targets.linkerd.patterns import expression, is_full
from meshwarden.policy.targets.linkerd.routes import METHODS, Route, losing
from meshwarden.policy.targets.unexpressed import Unexpressed

TARGET: Final = "linkerd"


def lost_of(service: Service, routes: list[Route], cluster: Cluster) -> Iterator[Unexpressed]:
    """Yield it, rule by rule; then what one route takes from another."""
    for rule in service.accepts:
        for what in _of_rule(rule, cluster):
            yield _lost(rule, what)
    for route, other in losing(routes):
        mine, theirs = _shown(route), _shown(other)
        yield _lost(
            route.rule,
            f"Linkerd lets one route decide: of {mine}, what {theirs} ({other.rule.name}) matches"
            " as well may be refused to callers of the former",
        )


def _of_rule(rule: Rule, cluster: Cluster) -> Iterator[str]:
    if rule.token is not None:
        yield "Linkerd knows no tokens: the rule allows nothing"
        return
    for method in sorted((rule.methods or frozenset()) - METHODS):
        yield f"a route cannot name the method {method}: it is refused"
    for source in rule.sources:
        if place_of(source) is None:
            yield f"{source} has no name in Linkerd (/ns/<namespace>/sa/<account>): it is refused"
    for pattern in rule.paths or ():
        if expression(pattern) is None:
            yield f"{pattern.text[:60]}... is too long for a route: it is refused"
        elif not is_full(pattern):
            yield f"{pattern.text[:60]}... is long: escapes (%20) in its placeholders are refused"
    if rule.tcp is not None and rule.tcp == cluster.http_port:
        yield f"port {rule.tcp} is the one that takes requests: connections to it are refused"


def _shown(route: Route) -> str:
    return f"{route.method or 'any method'} {route.pattern.text if route.pattern else 'any path'}"


def _lost(rule: Rule, what: str) -> Unexpressed:
    return Unexpressed(target=TARGET, rule=rule.name, where=rule.where, what=what)
