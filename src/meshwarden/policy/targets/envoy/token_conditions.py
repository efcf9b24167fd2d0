"""What a rule asks of a token, as predicates of a leaf: of metadata, or of headers.

Where what is asked for is absent, or a claim has another type, nothing matches and the rule allows
nothing. Each form asks at least one thing that is there only where a token was verified.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from envoy.extensions.matching.input_matchers.metadata.v3.metadata_pb2 import Metadata
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.matcher.v3.value_pb2 import ValueMatcher
from xds.type.matcher.v3.matcher_pb2 import Matcher
from xds.type.matcher.v3.regex_pb2 import RegexMatcher
from xds.type.matcher.v3.string_pb2 import StringMatcher as Text

from meshwarden.policy.model import TokenRequirement
from meshwarden.policy.targets.envoy import token_metadata
from meshwarden.policy.targets.envoy.messages import extension, header_input, metadata_input
from meshwarden.policy.targets.envoy.token_headers import HEADERS, Handed

Predicate: TypeAlias = Matcher.MatcherList.Predicate
Asking = Callable[[TokenRequirement, str], Iterator[Predicate]]
"""Yields what must hold of a token, for a requirement and the caller's SPIFFE ID."""


def asking(handed: Handed) -> Asking:
    """Return what asks for a token that is handed on so."""
    return _of_headers if handed is Handed.HEADERS else _of_metadata


def _of_metadata(token: TokenRequirement, caller: str) -> Iterator[Predicate]:
    yield _TYPE
    yield _ALGORITHM
    for scope in token.scopes:
        yield _has_scope(scope)
    if token.acr is not None:
        yield _claim_is("acr", token.acr)
    if token.bound:
        yield _claim_is("req_wl", caller)


def _of_headers(token: TokenRequirement, caller: str) -> Iterator[Predicate]:
    if not (token.scopes or token.acr or token.bound):
        yield _header_is("txn", Text(safe_regex=_ANYTHING))
    for scope in token.scopes:
        yield _lists_scope(scope)
    if token.acr is not None:
        yield _header_is("acr", Text(exact=token.acr))
    if token.bound:
        yield _header_is("req_wl", Text(exact=caller))


@lru_cache(maxsize=1024)
def _lists_scope(scope: str) -> Predicate:
    """The scope is all there is, or the first, the last, or one between two (RFC 6749, 3.3)."""
    found = Predicate()
    for text in (
        Text(exact=scope),
        Text(prefix=f"{scope} "),
        Text(suffix=f" {scope}"),
        Text(contains=f" {scope} "),
    ):
        found.or_matcher.predicate.append(_header_is("scope", text))
    return found


def _header_is(claim: str, text: Text) -> Predicate:
    found = Predicate()
    found.single_predicate.input.CopyFrom(header_input(HEADERS[claim]))
    found.single_predicate.value_match.CopyFrom(text)
    return found


@lru_cache(maxsize=1024)
def _has_scope(scope: str) -> Predicate:
    one = ValueMatcher()
    one.list_match.one_of.CopyFrom(_text(scope))
    return _metadata_is(_PAYLOAD, "scope", one)


@lru_cache(maxsize=1024)
def _claim_is(claim: str, value: str) -> Predicate:
    return _metadata_is(_PAYLOAD, claim, _text(value))


def _one_of(name: str, values: Iterable[str]) -> Predicate:
    either = ValueMatcher()
    either.or_match.value_matchers.extend(_text(value) for value in values)
    return _metadata_is(_HEADER, name, either)


def _metadata_is(part: tuple[str, str], name: str, value: ValueMatcher) -> Predicate:
    found = Predicate()
    found.single_predicate.input.CopyFrom(metadata_input(*part, name))
    found.single_predicate.custom_match.CopyFrom(extension("metadata", Metadata(value=value)))
    return found


def _text(value: str) -> ValueMatcher:
    return ValueMatcher(string_match=StringMatcher(exact=value))


_ANYTHING: Final = RegexMatcher(regex=".+", google_re2=RegexMatcher.GoogleRE2())
_PAYLOAD: Final = (token_metadata.NAMESPACE, token_metadata.PAYLOAD_KEY)
_HEADER: Final = (token_metadata.NAMESPACE, token_metadata.HEADER_KEY)
_TYPE: Final = _one_of("typ", token_metadata.TYPES)
_ALGORITHM: Final = _one_of("alg", token_metadata.ALGORITHMS)
