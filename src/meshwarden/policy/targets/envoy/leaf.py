"""The leaves of a tree: which caller, and what its token must say.

A caller's rules stand in their order, except that one without `token` is enough by itself. What a
token must say is asked as `token_conditions` has it.
"""

from collections.abc import Iterable, Mapping

from xds.type.matcher.v3.matcher_pb2 import Matcher

from meshwarden.policy.model import Rule
from meshwarden.policy.targets.envoy import token_metadata
from meshwarden.policy.targets.envoy.messages import CALLER, action
from meshwarden.policy.targets.envoy.token_conditions import Asking

Callers = Mapping[str, tuple[Rule, ...]]


def group_by_caller(rules: Iterable[Rule]) -> Callers:
    """Return for each caller's SPIFFE ID the rules that decide: one without token, or all."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        for source in rule.sources:
            found.setdefault(str(source), []).append(rule)
    return {caller: _deciding(granting) for caller, granting in found.items()}


def _deciding(rules: list[Rule]) -> tuple[Rule, ...]:
    enough = next((rule for rule in rules if rule.token is None), None)
    return tuple(rules) if enough is None else (enough,)


def fill_callers(matcher: Matcher, callers: Callers, ask: Asking) -> None:
    """Make `matcher` an exact map on the caller, of at least one; `ask` says what of tokens."""
    matcher.matcher_tree.input.CopyFrom(CALLER)
    entries = matcher.matcher_tree.exact_match_map.map
    for caller, rules in callers.items():
        if rules[0].token is None:
            entries[caller].action.CopyFrom(action(rules[0].name))
        else:
            _fill_tokens(entries[caller].matcher, rules, caller, ask)


def _fill_tokens(matcher: Matcher, rules: Iterable[Rule], caller: str, ask: Asking) -> None:
    for rule in rules:
        if rule.token is not None:
            granted = matcher.matcher_list.matchers.add()
            asked = list(ask(rule.token, caller))
            if len(asked) == 1:
                granted.predicate.CopyFrom(asked[0])
            else:
                granted.predicate.and_matcher.predicate.extend(asked)
            name = rule.name + (token_metadata.ONCE if rule.token.once else "")
            granted.on_match.action.CopyFrom(action(name))
