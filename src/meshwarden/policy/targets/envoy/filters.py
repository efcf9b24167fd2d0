"""The filters of one service, and what they cannot enforce as written."""

from collections.abc import Iterable
from typing import Any, Final

from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac
from google.protobuf.message import Message

from meshwarden.kernel import InputError
from meshwarden.policy.model import AccessPolicy, Rule, Service
from meshwarden.policy.targets.envoy.leaf import fill_callers, group_by_caller
from meshwarden.policy.targets.envoy.messages import NO_RULE, TYPE_URL, action
from meshwarden.policy.targets.envoy.render import render_message
from meshwarden.policy.targets.envoy.token_conditions import asking
from meshwarden.policy.targets.envoy.token_headers import Handed
from meshwarden.policy.targets.envoy.tree import fill_tree
from meshwarden.policy.targets.unexpressed import Unexpressed

TARGET: Final = "envoy"


def compile_http_filter(
    policy: AccessPolicy,
    service_name: str,
    *,
    single_use_enforced: bool = False,
    handed: Handed = Handed.METADATA,
) -> http_rbac.RBAC:
    """Return the filter that lets pass only the requests that `service_name` accepts.

    Args:
        policy: the policy.
        service_name: the callee; InputError `policy.unknown_service` where there is none.
        single_use_enforced: whether a filter behind this one refuses a token that was used before.
            This one cannot know: without the other, a rule with `once` allows nothing.
        handed: where what a token says is found. For `HEADERS` the listener must keep the contract
            of `token_headers`, or a caller could write them; nobody can write metadata.
    """
    compiled = http_rbac.RBAC()
    rules = [
        rule
        for rule in _service(policy, service_name).accepts
        if rule.tcp is None and (single_use_enforced or not _is_single_use(rule))
    ]
    fill_tree(compiled.matcher, rules, asking(handed))
    return compiled


def compile_network_filter(policy: AccessPolicy, service_name: str, port: int) -> network_rbac.RBAC:
    """Return the filter that lets pass only the connections that it accepts on `port`."""
    compiled = network_rbac.RBAC(stat_prefix="meshwarden.")
    rules = (rule for rule in _service(policy, service_name).accepts if rule.tcp == port)
    if callers := group_by_caller(rules):
        fill_callers(compiled.matcher, callers, asking(Handed.METADATA))  # none has a token
    else:
        compiled.matcher.on_no_match.action.CopyFrom(action(NO_RULE, deny=True))
    compiled.shadow_matcher.CopyFrom(compiled.matcher)  # the only way to log the rule that allowed
    return compiled


def compile_filters(
    policy: AccessPolicy, service_name: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return all filters of one service (of all, where None) as JSON objects, by file name.

    Each is what stands in a list of `http_filters` or `filters`, and what an extension
    configuration (ECDS) holds.
    """
    rendered: dict[str, dict[str, Any]] = {}
    for service in _services(policy, service_name):
        http = compile_http_filter(policy, service.name)
        rendered[f"{service.name}.http.json"] = _render("envoy.filters.http.rbac", http)
        for port in service.tcp_ports:
            network = compile_network_filter(policy, service.name, port)
            name = f"{service.name}.tcp-{port}.json"
            rendered[name] = _render("envoy.filters.network.rbac", network)
    return rendered


def _render(name: str, message: Message) -> dict[str, Any]:
    typed = {"@type": TYPE_URL + message.DESCRIPTOR.full_name} | render_message(message)
    return {"name": name, "typed_config": typed}


def unexpressed(policy: AccessPolicy, service_name: str | None = None) -> tuple[Unexpressed, ...]:
    """Return what the filters of one service (of all, where None) cannot enforce as written."""
    return tuple(
        Unexpressed(
            target=TARGET,
            rule=rule.name,
            where=rule.where,
            what="that its token is used once cannot be checked: the rule allows nothing",
        )
        for service in _services(policy, service_name)
        for rule in service.accepts
        if _is_single_use(rule)
    )


def _is_single_use(rule: Rule) -> bool:
    return rule.token is not None and rule.token.once


def _services(policy: AccessPolicy, name: str | None) -> Iterable[Service]:
    return policy.services.values() if name is None else [_service(policy, name)]


def _service(policy: AccessPolicy, name: str) -> Service:
    if name not in policy.services:
        raise InputError(
            "policy.unknown_service",
            f"no service is called {name!r}",
            where="policy",
            hint=f"known: {', '.join(list(policy.services)[:20])}",
        )
    return policy.services[name]
