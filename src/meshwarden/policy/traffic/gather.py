"""Recorded calls sorted by what a rule can say of them, before they are joined into rules."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from meshwarden.kernel import EXTERNAL, SpiffeId
from meshwarden.policy.model import HOST, AccessPolicy, is_method
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.compiled import CompiledPolicy
from meshwarden.policy.reach.grant import Grant
from meshwarden.policy.traffic.learned import Learned, LearnSettings
from meshwarden.policy.traffic.observed import Observed, Support, spiffe_id
from meshwarden.policy.traffic.templates import learn_patterns


@dataclass(slots=True)
class Gathered:
    """Usable calls, by what a rule can say of them."""

    requests: dict[tuple[SpiffeId, SpiffeId, str, PathPattern], Support] = field(
        default_factory=lambda: defaultdict(Support)
    )
    ports: dict[tuple[SpiffeId, SpiffeId, int], Support] = field(
        default_factory=lambda: defaultdict(Support)
    )
    hosts: dict[tuple[SpiffeId, str, int | None], Support] = field(
        default_factory=lambda: defaultdict(Support)
    )
    seen: dict[int, list[Observed]] = field(default_factory=lambda: defaultdict(list))

    def add(self, support: Support, seen: Observed) -> None:
        """Take in `seen` as support of one combination."""
        support.add(seen)
        self.seen[id(support)].append(seen)


def why_unusable(seen: Observed, settings: LearnSettings) -> str | None:
    """Return why calls teach nothing; None where they do."""
    source, outside = spiffe_id(seen.source), seen.destination.startswith(EXTERNAL)
    if seen.denied:
        return "denied"
    if seen.name in settings.suspects:
        return "behind a finding"
    if source is None and not seen.source.startswith(EXTERNAL):
        return "the caller is not known"
    if source is not None and seen.mtls is False and not outside and not settings.unproven:
        return "the caller's identity was not proved"
    if not outside and spiffe_id(seen.destination) is None:
        return "the callee is not known"
    return None


def most_called(usable: Iterable[Observed]) -> str:
    """Return the trust domain of most calls' callees."""
    calls: dict[str, int] = defaultdict(int)
    for seen in usable:
        callee = spiffe_id(seen.destination)
        if callee is not None:
            calls[callee.trust_domain] += seen.count
    return max(sorted(calls), key=lambda name: calls[name], default="example.invalid")


def gather(usable: Collection[Observed], learned: Learned, settings: LearnSettings) -> Gathered:
    """Return usable calls by what a rule can say of them; what no rule can is left out."""
    gathered = Gathered()
    routes: dict[str, set[str]] = defaultdict(set)
    for seen in usable:
        if seen.route is not None:
            routes[seen.destination].add(seen.route)
    patterns = {
        callee: learn_patterns(found, min_examples=settings.min_examples)
        for callee, found in routes.items()
        if not callee.startswith(EXTERNAL)
    }
    for seen in usable:
        reason = _gather_one(seen, gathered, learned, patterns.get(seen.destination, {}))
        if reason is not None:
            learned.left_out.append((seen, reason))
    return gathered


def _gather_one(
    seen: Observed, gathered: Gathered, learned: Learned, patterns: Mapping[str, PathPattern]
) -> str | None:
    """Put calls where they belong; return why they teach nothing, where they do not."""
    source, destination = spiffe_id(seen.source), spiffe_id(seen.destination)
    if source is not None and destination is None:
        return _gather_host(source, seen, gathered, learned)
    if destination is None or destination.trust_domain != learned.trust_domain:
        return "the callee is of another trust domain"
    if source is None:
        learned.service(destination).edge = True
        return None
    if seen.protocol == "tcp" and seen.route is None:
        if seen.port is None:
            return "the port is not recorded"
        gathered.add(gathered.ports[source, destination, seen.port], seen)
        return None
    pattern = patterns.get(seen.route or "")
    if pattern is None or seen.method is None or not is_method(seen.method):
        return "no rule can be written for its method and path"
    gathered.add(gathered.requests[source, destination, seen.method, pattern], seen)
    return None


def _gather_host(
    source: SpiffeId, seen: Observed, gathered: Gathered, learned: Learned
) -> str | None:
    if source.trust_domain != learned.trust_domain:
        return "the caller is of another trust domain"
    host = seen.destination.removeprefix(EXTERNAL).lower()
    if not HOST.fullmatch(host):
        return "no rule can be written for its host"
    gathered.add(gathered.hosts[source, host, seen.port], seen)
    return None


def drop_rare(gathered: Gathered, learned: Learned, settings: LearnSettings) -> None:
    """Leave out what too few calls, or calls on too few days, support."""
    groups: tuple[dict[Any, Support], ...] = (gathered.requests, gathered.ports, gathered.hosts)
    for group in groups:
        for key, support in list(group.items()):
            few = support.count < settings.min_calls or len(support.days) < settings.min_days
            if few:
                reason = f"only {support.count} calls on {len(support.days)} days"
                learned.left_out += [(seen, reason) for seen in gathered.seen[id(support)]]
                del group[key]
            else:
                learned.support.add(support)


def drop_known(gathered: Gathered, learned: Learned, base: AccessPolicy) -> None:
    """Leave out what `base` allows already, be it with a token."""
    compiled = CompiledPolicy(base)
    for source, destination, method, pattern in list(gathered.requests):
        pair = compiled.pair(source, destination)
        if pair and pair.tree.uncovered(pattern, partial(Grant.takes, method=method)) is None:
            del gathered.requests[source, destination, method, pattern]
    for source, destination, port in list(gathered.ports):
        pair = compiled.pair(source, destination)
        if pair and port in pair.tcp:
            del gathered.ports[source, destination, port]
    for source, host, to_port in list(gathered.hosts):
        service = base.service_with(source)
        listed = service.egress if service else ()
        if any(each.host == host and to_port in {None, each.port} for each in listed):
            del gathered.hosts[source, host, to_port]
    for identity, service_seen in learned.services.items():
        known = base.service_with(identity)
        service_seen.edge = service_seen.edge and not (known and known.edge)
