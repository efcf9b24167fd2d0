"""Turns a document into an `AccessPolicy`, or says file, line, what is wrong and what to do.

What can be no one's intention is an error: unknown keys and services, identities that are shared or
outside the trust domain, paths no request can match, an empty list (it would allow nothing), an
entry or a rule that stands twice. What may be meant but is rarely wise is a warning (`notices`).
"""

import difflib
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, TypeVar

from meshwarden.kernel import InputError, Node, SpiffeId, parse_trust_domain
from meshwarden.kernel.document import Fields
from meshwarden.policy.model import (
    HOST,
    AccessPolicy,
    Egress,
    Rule,
    Service,
    TokenRequirement,
    is_method,
)
from meshwarden.policy.path import PathPattern

API_VERSION: Final = "meshwarden.dev/v1"
LOWEST_TIER: Final = 9
SERVICE_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749, section 3.3: scope-token
_Key = TypeVar("_Key", bound=Hashable)


def parse_policy(document: Node) -> AccessPolicy:
    """Return the policy in `document`; InputError at the first line that is wrong."""
    top = document.fields(required=["apiVersion", "trust_domain", "services"])
    if top["apiVersion"].value != API_VERSION:
        top["apiVersion"].refuse(
            "policy.version",
            f"apiVersion {top['apiVersion'].value!r} is not known",
            hint=f"write {API_VERSION}",
        )
    trust_domain = parse_trust_domain(top["trust_domain"].text(), where=top["trust_domain"].where)
    nodes = top["services"].mapping()
    if not nodes:
        top["services"].refuse("policy.no_services", "a policy needs at least one service")
    fields = {name: _service_fields(name, node) for name, node in nodes.items()}
    identities = _parse_identities(fields, trust_domain)
    services = {
        name: _parse_service(name, nodes[name], found, identities) for name, found in fields.items()
    }
    return AccessPolicy(trust_domain=trust_domain, services=services)


def _service_fields(name: str, node: Node) -> Fields:
    if not SERVICE_NAME.fullmatch(name):
        node.refuse(
            "policy.service_name",
            f"{name[:80]!r} is not a service name",
            hint="a DNS label: 1 to 63 of a-z 0-9 -, not starting or ending with -",
        )
    return node.fields(
        required=["identity"], optional=["tier", "edge", "data", "accepts", "egress"]
    )


def _parse_identities(fields: Mapping[str, Fields], trust_domain: str) -> dict[str, SpiffeId]:
    identities: dict[str, SpiffeId] = {}
    owners: dict[SpiffeId, str] = {}
    for name, found in fields.items():
        node = found["identity"]
        identity = _parse_identity(node)
        if identity.trust_domain != trust_domain:
            node.refuse(
                "policy.foreign_identity",
                f"the identity of {name} is of {identity.trust_domain}, not of {trust_domain}",
                hint="a policy's own services are inside its trust_domain",
            )
        if identity in owners:
            node.refuse(
                "policy.duplicate_identity",
                f"{owners[identity]} and {name} share the identity {identity}",
                hint="each service needs one of its own",
            )
        owners[identity] = name
        identities[name] = identity
    return identities


def _parse_identity(node: Node) -> SpiffeId:
    try:
        return SpiffeId.parse(node.text())
    except InputError as error:
        raise InputError(error.code, error.message, where=node.where, hint=error.hint) from error


def _parse_service(
    name: str, node: Node, found: Fields, identities: Mapping[str, SpiffeId]
) -> Service:
    tier, edge, data = _given(found, "tier"), _given(found, "edge"), _given(found, "data")
    accepts, egress = _given(found, "accepts"), _given(found, "egress")
    return Service(
        name=name,
        identity=identities[name],
        tier=tier.integer(0, LOWEST_TIER) if tier else None,
        edge=edge.boolean() if edge else False,
        data=_distinct(data, _parse_label) if data else (),
        accepts=_parse_rules(name, accepts.items(), identities) if accepts else (),
        egress=_parse_egresses(egress) if egress else (),
        where=node.where,
    )


def _parse_label(node: Node) -> str:
    return _matching(node, _LABEL, "a label of a-z 0-9 . _ -", "policy.data")


def _parse_egresses(node: Node) -> tuple[Egress, ...]:
    found = _distinct(node, _parse_egress)
    if len({(one.host, one.port) for one in found}) < len(found):
        node.refuse("policy.egress", "the same host and port stand here with two identities")
    return found


def _parse_egress(node: Node) -> Egress:
    found = node.fields(required=["host", "port"], optional=["identity"])
    host = _matching(
        found["host"],
        HOST,
        "a host name in lower case, without scheme, port or wildcard",
        "policy.host",
    )
    port, identity = found["port"].integer(1, 65535), found.get("identity")
    proves = None if identity is None else _parse_identity(identity)
    return Egress(host=host, port=port, identity=proves)


def _parse_rules(
    service: str, nodes: Sequence[Node], identities: Mapping[str, SpiffeId]
) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    first: dict[Hashable, Rule] = {}
    for index, node in enumerate(nodes):
        rule = _parse_rule(f"{service}.accepts[{index}]", node, identities)
        paths = None if rule.paths is None else frozenset(rule.paths)
        meaning = (frozenset(rule.sources), rule.methods, paths, rule.tcp, rule.token)
        if meaning in first:
            node.refuse(
                "policy.duplicate_rule",
                f"{rule.name} says what {first[meaning].name} says",
                hint=f"remove it; the first is at {first[meaning].where}",
            )
        first[meaning] = rule
        rules.append(rule)
    return tuple(rules)


def _parse_rule(name: str, node: Node, identities: Mapping[str, SpiffeId]) -> Rule:
    found = node.fields(required=["from"], optional=["methods", "paths", "tcp", "token"])
    methods, paths = _given(found, "methods"), _given(found, "paths")
    tcp, token = _given(found, "tcp"), _given(found, "token")
    if tcp and (methods or paths or token):
        tcp.refuse(
            "policy.tcp_and_http",
            f"{name} has tcp together with methods, paths or token",
            hint="a connection has none of them; write two rules",
        )
    return Rule(
        name=name,
        sources=_distinct(found["from"], lambda item: _parse_source(item, identities)),
        methods=frozenset(_distinct(methods, _parse_method)) if methods else None,
        paths=_distinct(paths, _parse_path) if paths else None,
        tcp=tcp.integer(1, 65535) if tcp else None,
        token=_parse_token(token) if token else None,
        where=node.where,
    )


def _parse_source(node: Node, identities: Mapping[str, SpiffeId]) -> SpiffeId:
    text = node.text()
    if "://" in text:
        return _parse_identity(node)
    if text in identities:
        return identities[text]
    near = difflib.get_close_matches(text, identities, n=1)
    return node.refuse(
        "policy.unknown_service",
        f"no service is called {text[:80]!r}",
        hint=f"did you mean {near[0]!r}?"
        if near
        else "name a service of this policy or a SPIFFE ID",
    )


def _parse_method(node: Node) -> str:
    method = node.text()
    if not is_method(method):
        node.refuse(
            "policy.method",
            f"{method[:80]!r} is not an HTTP method",
            hint=f"methods are case-sensitive: write {method.upper()}" if method.isalpha() else "",
        )
    return method


def _parse_path(node: Node) -> PathPattern:
    return PathPattern.parse(node.text(), where=node.where)


def _parse_token(node: Node) -> TokenRequirement:
    found = node.fields(optional=["scopes", "acr", "bound", "once"])
    scopes, acr = _given(found, "scopes"), _given(found, "acr")
    bound, once = _given(found, "bound"), _given(found, "once")
    return TokenRequirement(
        scopes=_distinct(scopes, _parse_scope) if scopes else (),
        acr=acr.text() if acr else None,
        bound=bound.boolean() if bound else False,
        once=once.boolean() if once else False,
    )


def _given(found: Fields, key: str) -> Node | None:
    """Return an optional field; a key that is written without a value is an error, not "any"."""
    if key not in set(found):
        return None
    if found[key].value is None:
        found[key].refuse(
            "policy.empty_value",
            f"{found[key].path} has no value",
            hint="give one, or leave the key out",
        )
    return found[key]


def _parse_scope(node: Node) -> str:
    return _matching(node, _SCOPE, "a scope (no space, quote or backslash)", "policy.scope")


def _matching(node: Node, wanted: re.Pattern[str], kind: str, code: str) -> str:
    text = node.text()
    if not wanted.fullmatch(text):
        node.refuse(code, f"{text[:80]!r} is not {kind}")
    return text


def _distinct(node: Node, parse: Callable[[Node], _Key]) -> tuple[_Key, ...]:
    """Return the entries of a list that is neither empty nor says anything twice."""
    found: dict[_Key, Node] = {}
    for item in node.items():
        value = parse(item)
        if value in found:
            item.refuse(
                "policy.duplicate_entry",
                f"{_shown(item)} says in {node.path} what {_shown(found[value])} says",
                hint=f"remove it; the first is at {found[value].where}",
            )
        found[value] = item
    if not found:
        node.refuse(
            "policy.empty_list",
            f"{node.path} is empty and would allow nothing",
            hint="name what is allowed, or leave the key out where any is meant",
        )
    return tuple(found)


def _shown(node: Node) -> str:
    return repr(node.value) if isinstance(node.value, str) else "the same entry"
