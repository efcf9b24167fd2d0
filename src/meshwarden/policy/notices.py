"""What a policy may mean but rarely should: wide rules, rules that another makes pointless."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import AccessPolicy, Rule, Service
from meshwarden.policy.path import PathPattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One warning about one rule: stable dotted code, place, rule, and a sentence."""

    code: str
    where: str
    rule: str
    message: str


def notices(policy: AccessPolicy) -> tuple[Notice, ...]:
    """Return all warnings, in the order of the file."""
    return tuple(
        notice
        for service in policy.services.values()
        for rule, outdoing in zip(service.accepts, _outdone_by(service), strict=True)
        for notice in _about(policy, rule, outdoing)
    )


def _about(policy: AccessPolicy, rule: Rule, outdoing: Rule | None) -> Iterator[Notice]:
    def notice(code: str, message: str) -> Notice:
        return Notice(code=code, where=rule.where, rule=rule.name, message=message)

    if rule.tcp is None and rule.methods is None:
        yield notice("policy.any_method", f"{rule.name} names no methods: any method is allowed")
    if rule.tcp is None and rule.paths is None:
        yield notice("policy.any_path", f"{rule.name} names no paths: any path is allowed")
    for source in rule.sources:
        if source.trust_domain == policy.trust_domain and policy.service_with(source) is None:
            yield notice(
                "policy.undeclared_source",
                f"{rule.name} allows {source}, which is no service of this policy",
            )
    if outdoing is not None:
        yield notice(
            "policy.shadowed",
            f"{rule.name} allows nothing that {outdoing.name} ({outdoing.where}) does not",
        )


def _outdone_by(service: Service) -> list[Rule | None]:
    """Return for each rule another that alone allows all of it; the earlier of two equals stays."""
    rules = service.accepts
    index = _Index()
    for number, rule in enumerate(rules):
        index.add(number, rule)
    outdone: list[Rule | None] = []
    for number, rule in enumerate(rules):
        wider = index.covering(rule) - {number}
        candidates = sorted(other for other in wider if _at_least_as_open(rules[other], rule))
        keeps = [other for other in candidates if other < number or not _equal(rules[other], rule)]
        outdone.append(rules[keeps[0]] if keeps else None)
    return outdone


def _at_least_as_open(wide: Rule, narrow: Rule) -> bool:
    """Compare what the index does not: port, methods, token."""
    if wide.tcp != narrow.tcp or wide.token not in {None, narrow.token}:
        return False
    return wide.methods is None or (narrow.methods is not None and narrow.methods <= wide.methods)


def _equal(one: Rule, other: Rule) -> bool:
    return (
        one.methods == other.methods
        and one.token == other.token
        and set(one.sources) == set(other.sources)
        and set(one.paths or ()) == set(other.paths or ())
    )


@dataclass(slots=True)
class _Step:
    """One segment deep in the patterns of one caller."""

    literal: dict[str, "_Step"] = field(default_factory=dict)
    any: "_Step | None" = None
    ends: set[int] = field(default_factory=set)
    rests: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Index:
    """Rules by caller and pattern, so that 10,000 rules need no comparison of each with each."""

    any_path: dict[SpiffeId, set[int]] = field(default_factory=dict)
    patterns: dict[SpiffeId, _Step] = field(default_factory=dict)

    def add(self, number: int, rule: Rule) -> None:
        for source in rule.sources:
            if rule.paths is None:
                self.any_path.setdefault(source, set()).add(number)
            for pattern in rule.paths or ():
                self._insert(self.patterns.setdefault(source, _Step()), pattern, number)

    @staticmethod
    def _insert(step: _Step, pattern: PathPattern, number: int) -> None:
        for segment in pattern.segments:
            if segment is None:
                step.any = step.any or _Step()
                step = step.any
            else:
                step = step.literal.setdefault(segment, _Step())
        (step.rests if pattern.rest else step.ends).add(number)

    def covering(self, rule: Rule) -> set[int]:
        """Return the numbers of the rules that cover each caller and path of `rule`."""
        found: set[int] | None = None
        for source in rule.sources:
            open_rules = self.any_path.get(source, set())
            root = self.patterns.get(source)
            covers = [open_rules]
            if rule.paths is not None:
                covers = [
                    open_rules | (_covering(root, pattern, 0) if root else set())
                    for pattern in rule.paths
                ]
            for cover in covers:
                found = cover.copy() if found is None else found & cover
        return found or set()


def _covering(step: _Step, pattern: PathPattern, depth: int) -> set[int]:
    """Return the rules with one pattern that matches all that `pattern` matches."""
    if depth == len(pattern.segments):
        return step.rests if pattern.rest else step.ends
    segment = pattern.segments[depth]
    found = set() if segment == "" else set(step.rests)
    if segment is not None and segment in step.literal:
        found |= _covering(step.literal[segment], pattern, depth + 1)
    if segment != "" and step.any is not None:
        found |= _covering(step.any, pattern, depth + 1)
    return found
