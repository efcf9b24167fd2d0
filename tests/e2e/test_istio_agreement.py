"""What is compiled for Istio, as Istio hands it to Envoy, against a real Envoy.

Istio itself is not run: its translation of an AuthorizationPolicy into RBAC rules is written down
here from istio/istio, pilot/pkg/security/authz (model, generator, matcher). The EnvoyFilter's own
filter goes into the chain as it is, in front.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy.config.rbac.v3.rbac_pb2 import RBAC, Permission, Policy, Principal
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.path.match.uri_template.v3.uri_template_match_pb2 import (
    UriTemplateMatchConfig,
)
from google.protobuf.any_pb2 import Any as Packed
from tests.e2e.policy_support import running_proxy
from tests.e2e.test_policy_agreement import Callers
from tests.evaluators.cases import ClusterCases

from meshwarden.policy import AccessPolicy, decide, normalize_path
from meshwarden.policy.targets import istio

POLICIES, REQUESTS = 100, 60
RUNTIME = {  # as Istio's bootstrap has them (pkg/bootstrap/config.go)
    "re2.max_program_size.error_level": 32768,
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
}

pytestmark = [pytest.mark.e2e]


def _rbac(policy: AccessPolicy) -> http_rbac.RBAC:
    """Return the HTTP filter that Istio makes of the ALLOW policies of `callee`."""
    rules = RBAC(action=RBAC.ALLOW)
    allowing = (
        rule
        for made in istio.compile_policy(policy, service_name="callee").files["callee.yaml"]
        if made["kind"] == "AuthorizationPolicy"
        for rule in made["spec"]["rules"]
    )
    for number, rule in enumerate(allowing):
        if "ports" not in rule["to"][0]["operation"]:
            rules.policies[f"rule-{number}"].CopyFrom(_policy(rule))
    return http_rbac.RBAC(rules=rules)


def _policy(rule: Mapping[str, Any]) -> Policy:
    made = Policy()
    for name in rule["from"][0]["source"]["principals"]:
        principal = Principal()
        principal.authenticated.principal_name.exact = f"spiffe://{name}"
        made.principals.append(principal)
    operation = rule["to"][0]["operation"]
    permission = made.permissions.add().and_rules
    if "methods" in operation:
        either = permission.rules.add().or_rules
        for method in operation["methods"]:
            header = either.rules.add().header
            header.name = ":method"
            header.string_match.exact = method
    either = permission.rules.add().or_rules
    for path in operation["paths"]:
        either.rules.append(_path(path))
    return made


def _path(text: str) -> Permission:
    made = Permission()
    if "{*}" in text or "{**}" in text:
        template = text.replace("{*}", "*").replace("{**}", "**")
        made.uri_template.name = "uri-template"
        packed = Packed()
        packed.Pack(UriTemplateMatchConfig(path_template=template))
        made.uri_template.typed_config.CopyFrom(packed)
    elif text.endswith("*"):
        made.url_path.path.prefix = text[:-1]
    else:
        made.url_path.path.exact = text
    return made


def _clean_path_filter(policy: AccessPolicy) -> dict[str, Any]:
    (found,) = (
        made
        for made in istio.compile_policy(policy).files["namespace.core.yaml"]
        if made["kind"] == "EnvoyFilter"
    )
    value: dict[str, Any] = found["spec"]["configPatches"][1]["patch"]["value"]
    return value


def _plain(policy: AccessPolicy) -> AccessPolicy:
    """Return the policy without rules about tokens: their filter is another."""
    callee = policy.services["callee"]
    rules = tuple(rule for rule in callee.accepts if rule.token is None)
    services = {**policy.services, "callee": replace(callee, accepts=rules)}
    return AccessPolicy(trust_domain=policy.trust_domain, services=services)


def _disagreements(
    cases: ClusterCases, policy: AccessPolicy, callers: Callers
) -> Iterator[tuple[bool, object]]:
    """Yield for each request whether it is allowed, and what differs, or None."""
    for _ in range(REQUESTS):
        request, _ = cases.request(policy)
        path = normalize_path(request.path)
        if path is not None and set(path) & set("*[]"):
            continue  # refused by templates, which is said
        if "#" in request.path:
            continue  # no request target (RFC 9112, section 3.2); under Istio, Envoy cuts it off
        allowed = decide(policy, request).allowed
        status = callers.http1[request.source].ask(request.method, request.path).status
        yield allowed, None if (status == 200) == allowed else (request, status)


async def test_envoy_answers_as_the_policy_does_with_what_istio_makes_of_it(
    tmp_path: Path,
) -> None:
    cases = ClusterCases(77)
    numbered = [(number, _plain(cases.policy(number))) for number in range(POLICIES)]
    usable = [
        (number, policy)
        for number, policy in numbered
        if sum(rule.tcp is None for rule in policy.services["callee"].accepts) > 1
    ]
    first = usable[0][1]
    found: list[tuple[bool, object]] = []
    async with running_proxy(
        tmp_path, {"http": _rbac(first)}, [_clean_path_filter(first)], RUNTIME
    ) as proxy:
        callers = Callers(proxy.authority, proxy.http)
        for number, policy in usable:
            assert not await proxy.swap({"http": _rbac(policy)})
            await asyncio.to_thread(callers.wait_for, number)
            found += await asyncio.to_thread(list, _disagreements(cases, policy, callers))
        for client in callers.http1.values():
            client.close()
    assert [what for _, what in found if what is not None] == []
    allowed = sum(is_allowed for is_allowed, _ in found)
    assert 1000 < allowed < len(found) - 1000
