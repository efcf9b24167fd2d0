"""Grants that no recorded call used, and the rule that would still allow all that were.

A caller, method or path of a rule is unused where no allowed call can have used it; a pattern is
too wide where all calls that used it fit narrower ones. Where the record says too little (a method
or a segment that was not recorded), what may have been used is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.edit import quoted
from meshwarden.policy.model import AccessPolicy, Egress, Rule, TokenRequirement
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.compiled import CompiledPolicy
from meshwarden.policy.reach.tree import meet, within
from meshwarden.policy.traffic.observed import Observed, spiffe_id
from meshwarden.policy.traffic.templates import MIN_EXAMPLES, learn_patterns
from meshwarden.policy.traffic.usage import routes_of, used_hosts, uses

MAX_NARROWER: Final = 8  # more patterns instead of one are no help to a reviewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """A rule that allows more than was used.

    Attributes:
        rule: the rule.
        service: whose it is.
        calls: that may have used it; 0: the rule is unused as a whole.
        callers: those that never used it.
        methods: those that were never used; for a rule that names none: ("any",).
        paths: patterns that were never used; for a rule that names none: ("any",).
        wider: patterns that are wider than what used them, and the narrower ones.
        proposal: the tighter rule; None where it can go.
    """

    rule: Rule
    service: str
    calls: int
    callers: tuple[SpiffeId, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    wider: tuple[tuple[str, tuple[str, ...]], ...] = ()
    proposal: Rule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """All that was not used: rules in the order of the file, outside hosts with their service."""

    loose: tuple[Loose, ...]
    hosts: tuple[tuple[str, Egress], ...]

    def __bool__(self) -> bool:
        return bool(self.loose or self.hosts)


def find_unused(
    policy: AccessPolicy, observed: Sequence[Observed], *, min_examples: int = MIN_EXAMPLES
) -> Unused:
    """Return what of `policy` none of the `observed` calls used."""
    compiled = CompiledPolicy(policy)
    used: dict[str, list[Observed]] = {}
    for seen in observed:
        for rule in uses(compiled, seen):
            used.setdefault(rule.name, []).append(seen)
    loose = tuple(
        found
        for service in policy.services.values()
        for rule in service.accepts
        if (found := _loose(service.name, rule, used.get(rule.name, []), min_examples))
    )
    reached = used_hosts(policy, observed)
    hosts = tuple(
        (service.name, egress)
        for service in policy.services.values()
        for egress in service.egress
        if (service.name, egress) not in reached
    )
    return Unused(loose=loose, hosts=hosts)


def _loose(service: str, rule: Rule, used: Sequence[Observed], examples: int) -> Loose | None:
    if not used:
        return Loose(rule=rule, service=service, calls=0)
    callers = tuple(
        source for source in rule.sources if source in {spiffe_id(seen.source) for seen in used}
    )
    methods = _used_methods(rule, used)
    paths, wider = _used_paths(rule, used, examples)
    tighter = Rule(
        name=rule.name,
        sources=callers,
        methods=methods,
        paths=paths,
        tcp=rule.tcp,
        token=rule.token,
        where=rule.where,
    )
    if tighter == rule:
        return None
    kept = {pattern.text for pattern in paths or ()} | {text for text, _ in wider}
    return Loose(
        rule=rule,
        service=service,
        calls=sum(seen.count for seen in used),
        callers=tuple(source for source in rule.sources if source not in callers),
        methods=_left(rule.methods, methods),
        paths=("any",)
        if rule.paths is None and paths is not None
        else tuple(each.text for each in rule.paths or () if each.text not in kept),
        wider=wider,
        proposal=tighter,
    )


def _left(before: frozenset[str] | None, after: frozenset[str] | None) -> tuple[str, ...]:
    if before is None:
        return () if after is None else ("any",)
    return tuple(sorted(before - (after or frozenset())))


def _used_methods(rule: Rule, used: Iterable[Observed]) -> frozenset[str] | None:
    methods = {seen.method for seen in used}
    if rule.tcp is not None or None in methods:
        return rule.methods
    return frozenset(method for method in methods if method is not None)


def _used_paths(
    rule: Rule, used: Sequence[Observed], examples: int
) -> tuple[tuple[PathPattern, ...] | None, tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return the patterns that are enough, and those that are wider than their traffic."""
    if rule.tcp is not None or any(seen.route is None for seen in used):
        return rule.paths, ()
    if rule.paths is None:
        narrow = _narrowed(None, used, examples)
        return narrow, ()
    enough: dict[PathPattern, None] = {}
    wider: list[tuple[str, tuple[str, ...]]] = []
    for pattern in rule.paths:
        meeting = [s for s in used if any(meet(route, pattern) for route in routes_of(s))]
        narrower = _narrowed(pattern, meeting, examples) if meeting else ()
        if narrower is None or narrower == (pattern,):
            enough[pattern] = None
        elif narrower:
            enough |= dict.fromkeys(narrower)
            wider.append((pattern.text, tuple(each.text for each in narrower)))
    return tuple(enough), tuple(wider)


def _narrowed(
    pattern: PathPattern | None, used: Sequence[Observed], examples: int
) -> tuple[PathPattern, ...] | None:
    """Return patterns within `pattern` that are enough; None where there are no better ones."""
    if pattern is not None and pattern.is_literal:
        return None
    routes = {seen.route for seen in used if seen.route is not None}
    learned = learn_patterns(routes, min_examples=examples)
    found = sorted(set(learned.values()), key=lambda each: each.text)
    found = [one for one in found if not any(one != each and within(one, each) for each in found)]
    if len(learned) < len(routes) or len(found) > MAX_NARROWER:
        return None
    if pattern is not None and not all(within(each, pattern) for each in found):
        return None
    return tuple(found)


def rule_text(rule: Rule, policy: AccessPolicy) -> str:
    """Return a rule as one entry of `accepts`, to be pasted."""
    named = [policy.name_of(source) for source in rule.sources]
    sources = ", ".join(f'"{name}"' if "://" in name else name for name in named)
    parts = [f"from: [{sources}]"]
    if rule.tcp is not None:
        return f"- {{{parts[0]}, tcp: {rule.tcp}}}"
    if rule.methods is not None:
        parts.append(f"methods: [{', '.join(quoted(method) for method in sorted(rule.methods))}]")
    if rule.paths is not None:
        parts.append(f"paths: [{', '.join(quoted(each.text) for each in rule.paths)}]")
    if rule.token is not None:
        parts.append(f"token: {_token_yaml(rule.token)}")
    return "- " + "\n  ".join(parts)


def _token_yaml(token: TokenRequirement) -> str:
    parts = [f"scopes: [{', '.join(map(quoted, token.scopes))}]"] if token.scopes else []
    parts += [f"acr: {quoted(token.acr)}"] if token.acr is not None else []
    parts += ["bound: true"] if token.bound else []
    parts += ["once: true"] if token.once else []
    return "{" + ", ".join(parts) + "}"
