"""The exact difference of two policies: who may newly reach what, who may no longer, one example.

By set reasoning, never by sampling, and caller by caller:

1. Pairs whose rules say the same in both policies differ in nothing.
2. Of each rule of the one policy, each path pattern and method (and "any other method") is held
   against the tree of the other policy. A rule there counts where the token that is asked for here
   satisfies it. What is not covered is a change; the path that is not covered is its example.
3. What another pattern of the same policy covers as well is reported once, with that one.

Callers are compared by SPIFFE ID, and so are callees: a service that was only renamed is the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import AccessPolicy, Rule
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.change import Change, ChangeKind
from meshwarden.policy.reach.compiled import CompiledPolicy, Pair
from meshwarden.policy.reach.grant import ANY_PATH, Grant, implies, least_claims
from meshwarden.policy.reach.side import OtherSide
from meshwarden.policy.reach.tree import Tree

_NOTHING: Final = Pair()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDiff:
    """All that two policies differ in; `changes` in the order of callee, caller, path."""

    old: AccessPolicy
    new: AccessPolicy
    changes: tuple[Change, ...]

    @property
    def gained(self) -> tuple[Change, ...]:
        """What the new policy allows and the old did not."""
        return tuple(change for change in self.changes if change.gained)

    @property
    def lost(self) -> tuple[Change, ...]:
        """What the old policy allowed and the new does not."""
        return tuple(change for change in self.changes if not change.gained)

    def name_of(self, identity: SpiffeId) -> str:
        """Return what an author calls `identity`, in either policy."""
        new = self.new.service_with(identity)
        return new.name if new else self.old.name_of(identity)


def diff_policies(old: AccessPolicy, new: AccessPolicy) -> PolicyDiff:
    """Return what `new` allows and `old` does not, and the other way round."""
    before, after = CompiledPolicy(old), CompiledPolicy(new)
    changes = [*_pairs(before, after, gained=True), *_pairs(after, before, gained=False)]
    changes += [*_outside(old, new, gained=True), *_outside(new, old, gained=False)]
    return PolicyDiff(old=old, new=new, changes=tuple(sorted(changes, key=_order)))


def _order(change: Change) -> tuple[str, str, bool, str, str, int]:
    return (
        str(change.destination or change.host),
        str(change.source),
        not change.gained,
        change.kind,
        change.paths or "",
        change.port or 0,
    )


def _pairs(less: CompiledPolicy, more: CompiledPolicy, *, gained: bool) -> Iterator[Change]:
    for destination, callers in more.pairs.items():
        others = less.pairs.get(destination, {})
        for source, pair in callers.items():
            other = others.get(source, _NOTHING)
            start = Change(
                kind=ChangeKind.REQUESTS, gained=gained, source=source, destination=destination
            )
            if _meanings(pair) - _meanings(other):
                yield from _requests(start, pair, OtherSide(other.tree))
            for port in sorted(pair.tcp.keys() - other.tcp.keys()):
                rule = pair.tcp[port].rule
                yield replace(
                    start,
                    kind=ChangeKind.CONNECTIONS,
                    port=port,
                    rule=rule.name,
                    where=rule.where,
                )


def _meanings(pair: Pair) -> set[tuple[object, ...]]:
    return {(grant.rule.methods, grant.rule.paths, grant.rule.token) for grant in pair.grants}


def _requests(start: Change, pair: Pair, other: OtherSide) -> Iterator[Change]:
    """Yield what the grants of `pair` allow and the other side does not."""
    said = Tree()
    for grant in sorted(pair.grants, key=_width):
        found: list[Change] = []
        for pattern in sorted(grant.patterns, key=lambda each: not each.rest):
            change = _uncovered(start, grant.rule, pattern, other)
            if change is not None and not _is_said(said, grant.rule, pattern):
                found.append(change)
            said.add(pattern, grant)
        if grant.rule.paths is None and _same_methods(found):
            yield replace(found[0], paths=None)
        else:
            yield from found


def _same_methods(found: list[Change]) -> bool:
    """Return whether both halves of any path changed, and for the same methods."""
    asked = {(change.methods, change.not_methods) for change in found}
    return len(found) == len(ANY_PATH) and len(asked) == 1


def _width(grant: Grant) -> tuple[bool, bool, bool, int]:
    """Sort what covers more before what it may cover, so that the latter is not said again."""
    rule = grant.rule
    return (rule.token is not None, rule.methods is not None, rule.paths is not None, grant.order)


def _is_said(said: Tree, rule: Rule, pattern: PathPattern) -> bool:
    """Return whether grants that were reported cover all that `rule` allows by `pattern`."""

    def _wider(grant: Grant) -> bool:
        methods = grant.rule.methods
        return implies(rule.token, grant.rule.token) and (
            methods is None or (rule.methods is not None and rule.methods <= methods)
        )

    return said.uncovered(pattern, _wider) is None


def _uncovered(start: Change, rule: Rule, pattern: PathPattern, other: OtherSide) -> Change | None:
    """Return the change that `pattern` of `rule` makes; None where it makes none.

    Of a rule for any method, the methods that the other side names are tried one by one, and one
    that it does not name (None) for all the rest.
    """
    tried = [None, *other.methods] if rule.methods is None else sorted(rule.methods)
    paths = {method: other.uncovered(rule, pattern, method) for method in tried}
    found = {method: path for method, path in paths.items() if path is not None}
    if not found:
        return None
    method, path = next(iter(found.items()))
    listed = None if None in found else tuple(each for each in found if each is not None)
    return Change(
        kind=start.kind,
        gained=start.gained,
        source=start.source,
        destination=start.destination,
        rule=rule.name,
        where=rule.where,
        methods=listed,
        not_methods=tuple(m for m in other.methods if m not in found) if listed is None else (),
        paths=pattern.text,
        besides=other.besides(pattern, found),
        token=rule.token,
        example_method=method or other.unlisted_method,
        example_path=other.example(path),
        example_claims=least_claims(rule.token, start.source) if start.source else None,
    )


def _outside(less: AccessPolicy, more: AccessPolicy, *, gained: bool) -> Iterator[Change]:
    """Yield what leads out of the mesh, and into it from outside."""
    for service in more.services.values():
        other = less.service_with(service.identity)
        for egress in sorted(
            set(service.egress) - set(other.egress if other else ()),
            key=lambda each: (each.host, each.port),
        ):
            yield Change(
                kind=ChangeKind.EGRESS,
                gained=gained,
                source=service.identity,
                destination=None,
                where=service.where,
                rule=f"{service.name}.egress",
                host=egress.host,
                port=egress.port,
            )
        if service.edge and not (other and other.edge):
            yield Change(
                kind=ChangeKind.EDGE,
                gained=gained,
                source=None,
                destination=service.identity,
                rule=f"{service.name}.edge",
                where=service.where,
            )
