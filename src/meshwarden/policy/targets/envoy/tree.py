"""The HTTP filter's tree: the way from a request's method and path to the leaf that decides.

Each level's `on_no_match` also follows where a level below it found nothing, so that every rule
stands in one place alone:

1. method: those that a rule names;
2. path: the literal paths, an exact map;
3. what that does not hold: a prefix map on literal paths followed by a query and on the literal
   starts of templates; below these one regular expression for the templates that the same callers
   may use;
4. any clean path;
5. without a match so far: 2 to 4 for the rules that name no method;
6. nothing: denied, as `unclean_path` where the path is not clean.
"""

from collections.abc import Callable, Sequence
from typing import Final

from xds.type.matcher.v3.matcher_pb2 import Matcher

from meshwarden.policy.model import Rule
from meshwarden.policy.path import PathPattern
from meshwarden.policy.targets.envoy.leaf import Callers, fill_callers, group_by_caller
from meshwarden.policy.targets.envoy.messages import METHOD, PATH, action, fill_path_matches
from meshwarden.policy.targets.envoy.patterns import ANY_CLEAN_PATH, expression, with_query
from meshwarden.policy.targets.envoy.token_conditions import Asking

UNCLEAN_PATH: Final = "unclean_path"

_Level = Callable[[Matcher], None]


def fill_tree(matcher: Matcher, rules: Sequence[Rule], ask: Asking) -> None:
    """Make `matcher` the tree that lets pass the requests that one of `rules` allows.

    `ask` says what must hold of a token.
    """
    by_method: dict[str, list[Rule]] = {}
    for rule in rules:
        for method in sorted(rule.methods or ()):
            by_method.setdefault(method, []).append(rule)
    levels: list[_Level] = []
    if by_method:
        levels.append(lambda level: _fill_methods(level, by_method, ask))
    levels += _path_levels([rule for rule in rules if rule.methods is None], ask)
    _fill_levels(matcher, [*levels, _fill_refusal])


def _fill_levels(matcher: Matcher, levels: Sequence[_Level]) -> None:
    """Let each level be what follows where the one before it does not match."""
    for index, fill in enumerate(levels):
        fill(matcher)
        if index + 1 < len(levels):
            matcher = matcher.on_no_match.matcher


def _fill_methods(matcher: Matcher, by_method: dict[str, list[Rule]], ask: Asking) -> None:
    matcher.matcher_tree.input.CopyFrom(METHOD)
    entries = matcher.matcher_tree.exact_match_map.map
    for method, granting in by_method.items():
        _fill_levels(entries[method].matcher, _path_levels(granting, ask))


def _path_levels(rules: Sequence[Rule], ask: Asking) -> list[_Level]:
    granting: dict[PathPattern, list[Rule]] = {}
    for rule in rules:
        for pattern in rule.paths or ():
            granting.setdefault(pattern, []).append(rule)
    leaves = {pattern: group_by_caller(some) for pattern, some in granting.items()}
    literals = {pattern: leaf for pattern, leaf in leaves.items() if pattern.is_literal}
    any_path = group_by_caller(rule for rule in rules if rule.paths is None)
    levels: list[_Level] = []
    if literals:
        levels.append(lambda level: _fill_literals(level, literals, ask))
    if leaves:
        levels.append(lambda level: _fill_prefixes(level, leaves, ask))
    if any_path:
        levels.append(lambda level: _add_template(level, ANY_CLEAN_PATH, any_path, ask))
    return levels


def _fill_literals(matcher: Matcher, leaves: dict[PathPattern, Callers], ask: Asking) -> None:
    matcher.matcher_tree.input.CopyFrom(PATH)
    entries = matcher.matcher_tree.exact_match_map.map
    for pattern, callers in leaves.items():
        fill_callers(entries[pattern.literal_prefix].matcher, callers, ask)


def _fill_prefixes(matcher: Matcher, leaves: dict[PathPattern, Callers], ask: Asking) -> None:
    matcher.matcher_tree.input.CopyFrom(PATH)
    entries = matcher.matcher_tree.prefix_match_map.map
    alike: dict[tuple[str, frozenset[tuple[str, tuple[Rule, ...]]]], list[PathPattern]] = {}
    for pattern, callers in leaves.items():
        if pattern.is_literal:
            fill_callers(entries[with_query(pattern)].matcher, callers, ask)
        else:
            same = (pattern.literal_prefix, frozenset(callers.items()))
            alike.setdefault(same, []).append(pattern)
    for (prefix, _), patterns in alike.items():
        _add_template(entries[prefix].matcher, expression(patterns), leaves[patterns[0]], ask)


def _add_template(matcher: Matcher, path: str, callers: Callers, ask: Asking) -> None:
    template = matcher.matcher_list.matchers.add()
    fill_path_matches(template.predicate, path)
    fill_callers(template.on_match.matcher, callers, ask)


def _fill_refusal(matcher: Matcher) -> None:
    refusal = matcher.matcher_list.matchers.add()
    fill_path_matches(refusal.predicate.not_matcher, ANY_CLEAN_PATH)
    refusal.on_match.action.CopyFrom(action(UNCLEAN_PATH, deny=True))
