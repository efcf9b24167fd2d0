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
from collections.abc import Iterable

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import AccessPolicy
from meshwarden.policy.path import PathPattern
from meshwarden.policy.traffic.gather import (
    Gathered,
    drop_known,
    drop_rare,
    gather,
    most_called,
    why_unusable,
)
from meshwarden.policy.traffic.learned import (
    HTTPS,
    Learned,
    LearnedHost,
    LearnedRule,
    LearnSettings,
)
from meshwarden.policy.traffic.observed import Observed, Support


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
        reason = why_unusable(seen, settings)
        if reason is None:
            usable.append(seen)
        else:
            left_out.append((seen, reason))
    given = base.trust_domain if base is not None else settings.trust_domain
    learned = Learned(trust_domain=given or most_called(usable))
    learned.left_out = left_out
    gathered = gather(usable, learned, settings)
    drop_rare(gathered, learned, settings)
    once = sum(support.count == 1 for support in gathered.requests.values())
    learned.unseen_share = once / learned.support.count if learned.support.count else 1.0
    if base is not None:
        drop_known(gathered, learned, base)
    _join_requests(gathered, learned)
    _join_ports(gathered, learned)
    _take_hosts(gathered, learned)
    learned.services = dict(sorted(learned.services.items()))
    return learned


def _join_requests(gathered: Gathered, learned: Learned) -> None:
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


def _join_ports(gathered: Gathered, learned: Learned) -> None:
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


def _take_hosts(gathered: Gathered, learned: Learned) -> None:
    for (source, host, port), support in sorted(
        gathered.hosts.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or 0)
    ):
        found = LearnedHost(host=host, port=port or HTTPS, assumed=port is None, support=support)
        learned.service(source).egress.append(found)
