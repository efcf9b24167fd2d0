"""The least policy that allows what was observed: callers, methods, path patterns, ports, hosts.

What is learned, and what is not:

- Only calls that were allowed, from callers that proved their identity. Denied calls, names that
  were only claimed, and calls behind a finding teach nothing; all that is left out is listed.
- Callers, methods and paths are joined into rules only where the rule then allows no combination
  that was not observed itself.
- What an existing policy allows already (also with a token) is not added to it.

How sure it is stands with each rule: how many calls, on how many days, first and last. Over all,
the Good-Turing estimate (Good 1953) of the share of calls that do something never seen: the number
of combinations seen once, divided by the number of calls.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from meshwarden.kernel import EXTERNAL, SpiffeId
from meshwarden.policy.model import HOST, AccessPolicy, is_method
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.compiled import CompiledPolicy
from meshwarden.policy.reach.grant import Grant
from meshwarden.policy.traffic.judge import spiffe_id
from meshwarden.policy.traffic.observed import Observed
from meshwarden.policy.traffic.templates import MIN_EXAMPLES, learn_patterns

HTTPS: Final = 443  # of an outside host whose port was not recorded; the rule says so


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnSettings:
    """How much it takes to learn.

    Attributes:
        trust_domain: of the services; None = that of the existing policy, else of most callees.
        min_calls: a caller's method and path pattern with fewer calls is left out.
        min_days: so is one that was seen on fewer days.
        min_examples: different identifiers that it takes to make a placeholder of them.
        unproven: learn also from callers whose identity was not proved (mutual TLS missing).
        suspects: names of combinations (`Observed.name`) that findings are about.
    """

    trust_domain: str | None = None
    min_calls: int = 1
    min_days: int = 1
    min_examples: int = MIN_EXAMPLES
    unproven: bool = False
    suspects: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class Support:
    """How often something was seen, and when: nanoseconds since the epoch, days since then."""

    count: int = 0
    first: int = 0
    last: int = 0
    days: set[int] = field(default_factory=set)

    def add(self, other: "Observed | Support") -> None:
        """Take in the calls of `other`."""
        self.first = min(self.first or other.first, other.first)
        self.last = max(self.last, other.last)
        self.count += other.count
        self.days |= other.days


@dataclass(slots=True, kw_only=True)
class LearnedRule:
    """One rule about requests (`methods`, `paths`) or connections (`tcp`)."""

    sources: tuple[SpiffeId, ...]
    methods: tuple[str, ...] = ()
    paths: tuple[PathPattern, ...] = ()
    tcp: int | None = None
    support: Support = field(default_factory=Support)


@dataclass(slots=True, kw_only=True)
class LearnedHost:
    """One outside host; `assumed` where the record has no port."""

    host: str
    port: int
    assumed: bool
    support: Support = field(default_factory=Support)


@dataclass(slots=True, kw_only=True)
class LearnedService:
    """What was seen of one service."""

    identity: SpiffeId
    edge: bool = False
    rules: list[LearnedRule] = field(default_factory=list)
    egress: list[LearnedHost] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Learned:
    """What was learned.

    Attributes:
        trust_domain: of all services.
        services: by identity, in the order of identities.
        support: of all calls that taught something.
        unseen_share: Good-Turing estimate, 0..1.
        left_out: what taught nothing, with the reason.
    """

    trust_domain: str
    services: dict[SpiffeId, LearnedService] = field(default_factory=dict)
    support: Support = field(default_factory=Support)
    unseen_share: float = 1.0
    left_out: list[tuple[Observed, str]] = field(default_factory=list)

    def service(self, identity: SpiffeId) -> LearnedService:
        """Return the service, added where it was not known."""
        return self.services.setdefault(identity, LearnedService(identity=identity))


@dataclass(slots=True)
class _Gathered:
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
        support.add(seen)
        self.seen[id(support)].append(seen)


def learn(
    observed: Iterable[Observed],
    settings: LearnSettings | None = None,
    base: AccessPolicy | None = None,
) -> Learned:
    """Return what `observed` teaches beyond `base`; the same calls teach the same."""
    settings = settings or LearnSettings()
    usable: list[Observed] = []
    left_out: list[tuple[Observed, str]] = []
    for seen in observed:
        reason = _unusable(seen, settings)
        if reason is None:
            usable.append(seen)
        else:
            left_out.append((seen, reason))
    given = base.trust_domain if base is not None else settings.trust_domain
    learned = Learned(trust_domain=given or _most_called(usable))
    learned.left_out = left_out
    gathered = _gather(usable, learned, settings)
    _drop_rare(gathered, learned, settings)
    once = sum(support.count == 1 for support in gathered.requests.values())
    learned.unseen_share = once / learned.support.count if learned.support.count else 1.0
    if base is not None:
        _drop_known(gathered, learned, base)
    _join_requests(gathered, learned)
    _join_ports(gathered, learned)
    _take_hosts(gathered, learned)
    learned.services = dict(sorted(learned.services.items()))
    return learned


def _unusable(seen: Observed, settings: LearnSettings) -> str | None:
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


def _most_called(usable: Iterable[Observed]) -> str:
    calls: dict[str, int] = defaultdict(int)
    for seen in usable:
        callee = spiffe_id(seen.destination)
        if callee is not None:
            calls[callee.trust_domain] += seen.count
    return max(sorted(calls), key=lambda name: calls[name], default="example.invalid")


def _gather(usable: Collection[Observed], learned: Learned, settings: LearnSettings) -> _Gathered:
    gathered = _Gathered()
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
    seen: Observed, gathered: _Gathered, learned: Learned, patterns: Mapping[str, PathPattern]
) -> str | None:
    """Put calls where they belong; return why they teach nothing, where they do not."""
    source, destination = spiffe_id(seen.source), spiffe_id(seen.destination)
    if source is not None and destination is None:
        if source.trust_domain != learned.trust_domain:
            return "the caller is of another trust domain"
        host = seen.destination.removeprefix(EXTERNAL).lower()
        if not HOST.fullmatch(host):
            return "no rule can be written for its host"
        gathered.add(gathered.hosts[source, host, seen.port], seen)
        return None
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


def _drop_rare(gathered: _Gathered, learned: Learned, settings: LearnSettings) -> None:
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


def _drop_known(gathered: _Gathered, learned: Learned, base: AccessPolicy) -> None:
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


def _join_requests(gathered: _Gathered, learned: Learned) -> None:
    """Make rules: callers with the same methods at a path, then paths with the same of both."""
    methods: dict[tuple[SpiffeId, SpiffeId, PathPattern], set[str]] = defaultdict(set)
    for source, destination, method, pattern in gathered.requests:
        methods[destination, source, pattern].add(method)
    callers: dict[tuple[SpiffeId, PathPattern, frozenset[str]], set[SpiffeId]] = defaultdict(set)
    for (destination, source, pattern), found in methods.items():
        callers[destination, pattern, frozenset(found)].add(source)
    rules: dict[tuple[SpiffeId, tuple[str, ...], tuple[SpiffeId, ...]], list[PathPattern]] = (
        defaultdict(list)
    )
    for (destination, pattern, named), sources in callers.items():
        rules[destination, tuple(sorted(named)), tuple(sorted(sources))].append(pattern)
    for (destination, named_methods, sorted_sources), patterns in sorted(
        rules.items(), key=lambda item: item[0]
    ):
        rule = LearnedRule(
            sources=sorted_sources,
            methods=named_methods,
            paths=tuple(sorted(patterns, key=lambda pattern: pattern.text)),
        )
        for source in sorted_sources:
            if source.trust_domain == learned.trust_domain:
                learned.service(source)
            for method in named_methods:
                for pattern in patterns:
                    rule.support.add(gathered.requests[source, destination, method, pattern])
        learned.service(destination).rules.append(rule)


def _join_ports(gathered: _Gathered, learned: Learned) -> None:
    ports: dict[tuple[SpiffeId, int], dict[SpiffeId, Support]] = defaultdict(dict)
    for (source, destination, port), support in gathered.ports.items():
        ports[destination, port][source] = support
    for (destination, port), callers in sorted(ports.items(), key=lambda item: item[0]):
        rule = LearnedRule(sources=tuple(sorted(callers)), tcp=port)
        for source, support in callers.items():
            if source.trust_domain == learned.trust_domain:
                learned.service(source)
            rule.support.add(support)
        learned.service(destination).rules.append(rule)


def _take_hosts(gathered: _Gathered, learned: Learned) -> None:
    for (source, host, port), support in sorted(
        gathered.hosts.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or 0)
    ):
        found = LearnedHost(
            host=host, port=port or HTTPS, assumed=port is None, support=support
        )
        learned.service(source).egress.append(found)

