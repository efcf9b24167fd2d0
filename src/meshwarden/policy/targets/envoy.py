"""Compiles what one service accepts into Envoy's RBAC filters, as matcher trees.

The HTTP filter denies an unclean path first (`CLEAN_PATH`); then come an exact map on the caller's
SPIFFE ID, an exact map on the method, a prefix map on the path, and below it what tells the path
from the query (`:path` carries both). A request costs a few look-ups, whatever the number of rules.
The network filter is one exact map on the caller's SPIFFE ID. No match at all means denied.

What the filters rely on, in the listener that carries them: mutual TLS that verifies the caller
(the SPIFFE ID is that of the verified certificate); for HTTP also `normalize_path`, `merge_slashes`
and `path_with_escaped_slashes_action: REJECT_REQUEST` in the HTTP connection manager.

An access log shows the rule that decided: `%DYNAMIC_METADATA(envoy.filters.http.rbac:
enforced_effective_policy_id)%` (the rule's name, `unclean_path`, or nothing where no rule matched;
`enforced_engine_result` is `allowed` or `denied`); for connections
`%DYNAMIC_METADATA(envoy.filters.network.rbac:shadow_effective_policy_id)%`.

What they do not do: check tokens. A rule with `token` allows nothing here; `unexpressed` names it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from envoy.config.rbac.v3 import rbac_pb2 as rbac
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac
from envoy.extensions.matching.common_inputs.ssl.v3.ssl_inputs_pb2 import UriSanInput
from envoy.type.matcher.v3.http_inputs_pb2 import HttpRequestHeaderMatchInput
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from xds.core.v3.extension_pb2 import TypedExtensionConfig
from xds.type.matcher.v3.matcher_pb2 import Matcher
from xds.type.matcher.v3.regex_pb2 import RegexMatcher

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.policy.model import AccessPolicy, Rule, Service
from meshwarden.policy.path import CLEAN_PATH, PathPattern
from meshwarden.policy.targets.unexpressed import Unexpressed

TARGET: Final = "envoy"
UNCLEAN_PATH: Final = "unclean_path"
NO_RULE: Final = "none"  # what Envoy itself calls it where a matcher does not match

_QUERY: Final = r"(?:\?.*)?"
_Rules = tuple[Rule, ...]


def compile_http_filter(policy: AccessPolicy, service_name: str) -> http_rbac.RBAC:
    """Return the filter that lets pass only the requests that `service_name` accepts."""
    compiled = http_rbac.RBAC()
    guard = compiled.matcher.matcher_list.matchers.add()
    unless = guard.predicate.not_matcher.single_predicate
    unless.input.CopyFrom(_PATH)
    unless.value_match.safe_regex.CopyFrom(_safe_regex(CLEAN_PATH + _QUERY))
    guard.on_match.action.CopyFrom(_action(UNCLEAN_PATH, deny=True))
    rules = (rule for rule in _service(policy, service_name).accepts if rule.tcp is None)
    tree = _Tree().callers(_by_caller(rule for rule in rules if rule.token is None))
    compiled.matcher.on_no_match.CopyFrom(tree)
    return compiled


def compile_network_filter(policy: AccessPolicy, service_name: str, port: int) -> network_rbac.RBAC:
    """Return the filter that lets pass only the connections that it accepts on `port`."""
    compiled = network_rbac.RBAC(stat_prefix="meshwarden.")
    rules = (rule for rule in _service(policy, service_name).accepts if rule.tcp == port)
    callers = {
        caller: Matcher.OnMatch(action=_action(granting[0].name))
        for caller, granting in _by_caller(rules).items()
    }
    compiled.matcher.CopyFrom(_exact(_CALLER, callers))
    compiled.shadow_matcher.CopyFrom(compiled.matcher)  # the only way to log the rule that allowed
    return compiled


def compile_filters(
    policy: AccessPolicy, service_name: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return all filters of one service (of all, where None) as JSON objects, by file name.

    Each is what stands in a list of `http_filters` or `filters`, and what an extension
    configuration (ECDS) holds.
    """
    services = (
        policy.services.values() if service_name is None else [_service(policy, service_name)]
    )
    rendered: dict[str, dict[str, Any]] = {}
    for service in services:
        http = compile_http_filter(policy, service.name)
        rendered[f"{service.name}.http.json"] = _rendered("envoy.filters.http.rbac", http)
        for port in service.tcp_ports:
            network = compile_network_filter(policy, service.name, port)
            name = f"{service.name}.tcp-{port}.json"
            rendered[name] = _rendered("envoy.filters.network.rbac", network)
    return rendered


def _rendered(name: str, message: Message) -> dict[str, Any]:
    extension = _extension(name, message)
    found: dict[str, Any] = MessageToDict(extension, preserving_proto_field_name=True)
    return found


def unexpressed(policy: AccessPolicy, service_name: str | None = None) -> tuple[Unexpressed, ...]:
    """Return what the filters of one service (of all, where None) cannot enforce as written."""
    services = (
        policy.services.values() if service_name is None else [_service(policy, service_name)]
    )
    return tuple(
        Unexpressed(
            target=TARGET,
            rule=rule.name,
            where=rule.where,
            what="its token cannot be checked: the rule allows nothing",
        )
        for service in services
        for rule in service.accepts
        if rule.token is not None
    )


class _Tree:
    """Builds the tree below the guard; callers and methods with the same rules share one build."""

    def __init__(self) -> None:
        self._built: dict[tuple[str, tuple[str, ...]], Matcher.OnMatch] = {}

    def callers(self, rules: Mapping[str, _Rules]) -> Matcher.OnMatch:
        found = {caller: self._methods(granting) for caller, granting in rules.items()}
        return Matcher.OnMatch(matcher=_exact(_CALLER, found))

    def _methods(self, rules: _Rules) -> Matcher.OnMatch:
        key = ("methods", tuple(rule.name for rule in rules))
        if key not in self._built:
            self._built[key] = self._build_methods(rules)
        return self._built[key]

    def _build_methods(self, rules: _Rules) -> Matcher.OnMatch:
        any_method = tuple(rule for rule in rules if rule.methods is None)
        by_method: dict[str, list[Rule]] = {}
        for rule in rules:
            for method in sorted(rule.methods or ()):
                by_method.setdefault(method, []).append(rule)
        if not by_method:
            return self._paths(any_method)
        found = {
            method: self._paths((*granting, *any_method)) for method, granting in by_method.items()
        }
        tree = Matcher.OnMatch(matcher=_exact(_METHOD, found))
        if any_method:
            tree.matcher.on_no_match.CopyFrom(self._paths(any_method))
        return tree

    def _paths(self, rules: _Rules) -> Matcher.OnMatch:
        key = ("paths", tuple(rule.name for rule in rules))
        if key not in self._built:
            self._built[key] = _build_paths(rules)
        return self._built[key]


def _build_paths(rules: _Rules) -> Matcher.OnMatch:
    """Return the prefix map of all patterns; rules without paths decide where no pattern fits."""
    granting: dict[PathPattern, Rule] = {}
    for rule in rules:
        for pattern in rule.paths or ():
            granting.setdefault(pattern, rule)
    any_path = next((rule for rule in rules if rule.paths is None), None)
    if not granting and any_path is not None:
        return Matcher.OnMatch(action=_action(any_path.name))
    tree = Matcher.OnMatch()
    tree.matcher.matcher_tree.input.CopyFrom(_PATH)
    leaves = tree.matcher.matcher_tree.prefix_match_map.map
    for pattern, rule in granting.items():
        leaf = leaves[pattern.literal_prefix].matcher.matcher_list.matchers.add()
        _fill_predicate(leaf.predicate, pattern)
        leaf.on_match.action.CopyFrom(_action(rule.name))
    if any_path is not None:
        tree.matcher.on_no_match.action.CopyFrom(_action(any_path.name))
    return tree


def _fill_predicate(predicate: Matcher.MatcherList.Predicate, pattern: PathPattern) -> None:
    """Say what `:path` must be beside starting with the pattern's literal prefix."""
    prefix = pattern.literal_prefix
    if pattern.is_literal:
        _fill_ends_here(predicate, prefix)
    elif None not in pattern.segments:
        _fill_ends_here(predicate.not_matcher, prefix)
    else:
        predicate.single_predicate.input.CopyFrom(_PATH)
        predicate.single_predicate.value_match.safe_regex.CopyFrom(_safe_regex(_regex(pattern)))


def _fill_ends_here(predicate: Matcher.MatcherList.Predicate, path: str) -> None:
    """Say that `:path` is `path`, with or without a query."""
    bare = predicate.or_matcher.predicate.add().single_predicate
    bare.input.CopyFrom(_PATH)
    bare.value_match.exact = path
    with_query = predicate.or_matcher.predicate.add().single_predicate
    with_query.input.CopyFrom(_PATH)
    with_query.value_match.prefix = path + "?"


def _regex(pattern: PathPattern) -> str:
    parts = ["[^/?]+" if part is None else re.escape(part) for part in pattern.segments]
    return "/" + "/".join(parts) + ("/[^?].*" if pattern.rest else _QUERY)


def _safe_regex(expression: str) -> RegexMatcher:
    return RegexMatcher(regex=expression, google_re2=RegexMatcher.GoogleRE2())


def _by_caller(rules: Iterable[Rule]) -> dict[str, _Rules]:
    found: dict[SpiffeId, list[Rule]] = {}
    for rule in rules:
        for source in rule.sources:
            found.setdefault(source, []).append(rule)
    return {str(source): tuple(granting) for source, granting in found.items()}


def _exact(of: TypedExtensionConfig, entries: Mapping[str, Matcher.OnMatch]) -> Matcher:
    """Return an exact map on one input; one that denies where there are no entries."""
    if not entries:
        return Matcher(on_no_match=Matcher.OnMatch(action=_action(NO_RULE, deny=True)))
    matcher = Matcher()
    matcher.matcher_tree.input.CopyFrom(of)
    for key, value in entries.items():
        matcher.matcher_tree.exact_match_map.map[key].CopyFrom(value)
    return matcher


def _action(name: str, *, deny: bool = False) -> TypedExtensionConfig:
    return _extension(
        "rule", rbac.Action(name=name, action=rbac.RBAC.DENY if deny else rbac.RBAC.ALLOW)
    )


def _extension(name: str, message: Message) -> TypedExtensionConfig:
    packed = Packed(
        type_url="type.googleapis.com/" + message.DESCRIPTOR.full_name,
        value=message.SerializeToString(),
    )
    return TypedExtensionConfig(name=name, typed_config=packed)


def _service(policy: AccessPolicy, name: str) -> Service:
    if name not in policy.services:
        raise InputError(
            "policy.unknown_service",
            f"no service is called {name!r}",
            where="policy",
            hint=f"known: {', '.join(list(policy.services)[:20])}",
        )
    return policy.services[name]


_CALLER: Final = _extension("caller", UriSanInput())
_METHOD: Final = _extension("method", HttpRequestHeaderMatchInput(header_name=":method"))
_PATH: Final = _extension("path", HttpRequestHeaderMatchInput(header_name=":path"))
