"""Which rules recorded calls used.

A call that may have used a rule, used it: none is called unused because the record says too little.
"""

from collections.abc import Iterable, Iterator

from meshwarden.kernel import EXTERNAL
from meshwarden.policy.model import AccessPolicy, Egress, Rule
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.compiled import CompiledPolicy
from meshwarden.policy.reach.grant import ANY_PATH
from meshwarden.policy.traffic.observed import Observed, Support, spiffe_id
from meshwarden.policy.traffic.route import parse_route


def supports_of(policy: AccessPolicy, observed: Iterable[Observed]) -> dict[str, Support]:
    """Return the calls that may have used each rule, by its name; unused ones are missing."""
    compiled = CompiledPolicy(policy)
    found: dict[str, Support] = {}
    for seen in observed:
        for rule in uses(compiled, seen):
            found.setdefault(rule.name, Support()).add(seen)
    return found


def uses(compiled: CompiledPolicy, seen: Observed) -> Iterator[Rule]:
    """Yield the rules that allowed calls may have used; none for calls that were denied."""
    source, destination = spiffe_id(seen.source), spiffe_id(seen.destination)
    if seen.denied or source is None or destination is None:
        return
    pair = compiled.pair(source, destination)
    if pair is None:
        return
    if seen.protocol == "tcp" and seen.route is None:
        yield from (grant.rule for port, grant in pair.tcp.items() if seen.port in {None, port})
        return
    met = {grant for route in routes_of(seen) for grant in pair.tree.meeting(route)}
    for grant in sorted(met, key=lambda each: each.order):
        if seen.method is None or grant.takes(seen.method):
            yield grant.rule


def routes_of(seen: Observed) -> tuple[PathPattern, ...]:
    """Return the paths that calls may have had, as patterns."""
    if seen.route is None:
        return ANY_PATH
    route = parse_route(seen.route)
    return () if route is None else (route,)


def used_hosts(policy: AccessPolicy, observed: Iterable[Observed]) -> set[tuple[str, Egress]]:
    """Return the outside hosts that were reached, each with its service's name."""
    found: set[tuple[str, Egress]] = set()
    for seen in observed:
        source = spiffe_id(seen.source)
        service = policy.service_with(source) if source else None
        if service is None or seen.denied or not seen.destination.startswith(EXTERNAL):
            continue
        host = seen.destination.removeprefix(EXTERNAL)
        for egress in service.egress:
            if egress.host == host and seen.port in {None, egress.port}:
                found.add((service.name, egress))
    return found
