"""The leaves of a tree: which caller, and what its token must say.

A caller's rules stand in their order, except that one without `token` is enough by itself. What a
token must say is asked of the metadata that `token_metadata` describes: where that is absent, or a
claim has another type, nothing matches and the rule allows nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from envoy.extensions.matching.input_matchers.metadata.v3.metadata_pb2 import Metadata
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.matcher.v3.value_pb2 import ValueMatcher
from xds.core.v3.extension_pb2 import TypedExtensionConfig
from xds.type.matcher.v3.matcher_pb2 import Matcher

from meshwarden.policy.model import Rule, TokenRequirement
from meshwarden.policy.targets.envoy import token_metadata
from meshwarden.policy.targets.envoy.messages import CALLER, action, extension, metadata_input

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


def fill_callers(matcher: Matcher, callers: Callers) -> None:
    """Make `matcher` an exact map on the caller, of at least one."""
    matcher.matcher_tree.input.CopyFrom(CALLER)
    entries = matcher.matcher_tree.exact_match_map.map
    for caller, rules in callers.items():
        if rules[0].token is None:
            entries[caller].action.CopyFrom(action(rules[0].name))
        else:
            _fill_tokens(entries[caller].matcher, rules, caller)


def _fill_tokens(matcher: Matcher, rules: Iterable[Rule], caller: str) -> None:
    for rule in rules:
        if rule.token is not None:
            granted = matcher.matcher_list.matchers.add()
            for source, wanted in _conditions(rule.token, caller):
                condition = granted.predicate.and_matcher.predicate.add().single_predicate
                condition.input.CopyFrom(source)
                condition.custom_match.CopyFrom(wanted)
            name = rule.name + (token_metadata.ONCE if rule.token.once else "")
            granted.on_match.action.CopyFrom(action(name))


Condition = tuple[TypedExtensionConfig, TypedExtensionConfig]


def _conditions(token: TokenRequirement, caller: str) -> Iterator[Condition]:
    """Yield what must hold, each as an input and what it must be."""
    yield _TYPE
    yield _ALGORITHM
    for scope in token.scopes:
        yield _has_scope(scope)
    if token.acr is not None:
        yield _claim_is("acr", token.acr)
    if token.bound:
        yield _claim_is("req_wl", caller)


@lru_cache(maxsize=1024)
def _has_scope(scope: str) -> Condition:
    one = ValueMatcher()
    one.list_match.one_of.CopyFrom(_text(scope))
    return metadata_input(*_PAYLOAD, "scope"), _metadata(one)


@lru_cache(maxsize=1024)
def _claim_is(claim: str, value: str) -> Condition:
    return metadata_input(*_PAYLOAD, claim), _metadata(_text(value))


def _header_is(name: str, values: Iterable[str]) -> Condition:
    either = ValueMatcher()
    either.or_match.value_matchers.extend(_text(value) for value in values)
    return metadata_input(*_HEADER, name), _metadata(either)


def _text(value: str) -> ValueMatcher:
    return ValueMatcher(string_match=StringMatcher(exact=value))


def _metadata(value: ValueMatcher) -> TypedExtensionConfig:
    return extension("metadata", Metadata(value=value))


_PAYLOAD: Final = (token_metadata.NAMESPACE, token_metadata.PAYLOAD_KEY)
_HEADER: Final = (token_metadata.NAMESPACE, token_metadata.HEADER_KEY)
_TYPE: Final = _header_is("typ", token_metadata.TYPES)
_ALGORITHM: Final = _header_is("alg", token_metadata.ALGORITHMS)
