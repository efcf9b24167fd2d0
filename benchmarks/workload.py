"""The rules, the requests that exercise them, and the forms in which each peer enforces them.

A rule lets one caller use one method on one path. Of a caller's paths half are literal, a quarter
hold an identifier (`/v1/r07/{id}/items`), a quarter are subtrees (`/v1/r07/files/**`). Requests are
drawn evenly over all rules of all callers, with fresh identifiers, so that no rule is hot.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from envoy.config.rbac.v3.rbac_pb2 import Action
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, PathPattern, Rule, Service, TokenRequirement
from meshwarden.policy.targets.envoy import compile_http_filter
from meshwarden.policy.targets.envoy.token_headers import Handed

TRUST_DOMAIN: Final = "bank.example"
CALLEE: Final = SpiffeId(TRUST_DOMAIN, "/ns/core/sa/ledger")
CALLERS: Final = {100: 10, 1_000: 50, 10_000: 100}
"""Callers for each number of rules; the rest of the product are each caller's methods and paths."""

REQUESTS_PER_CALLER: Final = 400
PATHS_PER_RESOURCE: Final = ("/summary", "/entries", "/{id}/items", "/files/**")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One rule: who may use which method on which path."""

    caller: SpiffeId
    method: str
    pattern: str


def make_grants(rules: int, callers: int | None = None) -> list[Grant]:
    """Return as many grants, for `CALLERS[rules]` callers (or so many) with equally many each."""
    callers = callers or CALLERS[rules]
    return [
        Grant(
            caller=SpiffeId(TRUST_DOMAIN, f"/ns/core/sa/caller-{caller:03}"),
            method="GET" if path % 2 else "POST",
            pattern=f"/v1/r{path // 4:02}{PATHS_PER_RESOURCE[path % 4]}",
        )
        for caller in range(callers)
        for path in range(rules // callers)
    ]


def draw_requests(grants: list[Grant], *, seed: int) -> dict[str, list[str]]:
    """Return for each caller the requests it sends in turn, each `METHOD path`."""
    chance = np.random.default_rng(seed)
    by_caller: dict[str, list[Grant]] = {}
    for grant in grants:
        by_caller.setdefault(str(grant.caller), []).append(grant)
    return {
        caller: [
            f"{granted[index].method} {_instance(granted[index].pattern, chance)}"
            for index in chance.integers(len(granted), size=REQUESTS_PER_CALLER)
        ]
        for caller, granted in by_caller.items()
    }


def _instance(pattern: str, chance: np.random.Generator) -> str:
    number = f"{chance.integers(10**8):08}"
    return pattern.replace("{id}", number).replace("**", f"2026/{number}")


def draw_refusals(grants: list[Grant], *, seed: int, count: int = 20) -> list[tuple[str, str]]:
    """Return (caller, `METHOD path`) that no rule allows: a wrong method, a path one too deep."""
    chance = np.random.default_rng(seed)
    refused = []
    for index in chance.integers(len(grants), size=count):
        grant = grants[index]
        path = _instance(grant.pattern, chance)
        refused.append((str(grant.caller), f"DELETE {path}"))
        if "**" not in grant.pattern:
            refused.append((str(grant.caller), f"{grant.method} {path}/more"))
    return refused


def compiled_tree(
    grants: list[Grant],
    token: TokenRequirement | None = None,
    handed: Handed = Handed.HEADERS,
) -> dict[str, Any]:
    """Return our compiled policy, as the typed configuration of Envoy's RBAC filter.

    With `token`, every rule demands such a transaction token, which is `handed` on so.
    """
    rules = tuple(
        Rule(
            name=f"ledger.accepts[{index}]",
            sources=(grant.caller,),
            methods=frozenset({grant.method}),
            paths=(PathPattern.parse(grant.pattern),),
            token=token,
        )
        for index, grant in enumerate(grants)
    )
    ledger = Service(name="ledger", identity=CALLEE, accepts=rules)
    policy = AccessPolicy(trust_domain=TRUST_DOMAIN, services={"ledger": ledger})
    return typed(compile_http_filter(policy, "ledger", handed=handed))


def always_allow() -> dict[str, Any]:
    """Return a filter that asks nothing: the least that any policy costs."""
    action = {"@type": _TYPES + Action.DESCRIPTOR.full_name, "name": "all", "action": "ALLOW"}
    matcher = {"on_no_match": {"action": {"name": "all", "typed_config": action}}}
    return {"@type": _TYPES + RBAC.DESCRIPTOR.full_name, "matcher": matcher}


def classic_list(grants: list[Grant]) -> dict[str, Any]:
    """Return the same rules as a list of RBAC policies, the form that mesh control planes write."""
    policies = {
        f"rule-{index:05}": {
            "permissions": [
                {
                    "and_rules": {
                        "rules": [
                            {
                                "header": {
                                    "name": ":method",
                                    "string_match": {"exact": grant.method},
                                }
                            },
                            {"url_path": {"path": _classic_path(grant.pattern)}},
                        ]
                    }
                }
            ],
            "principals": [{"authenticated": {"principal_name": {"exact": str(grant.caller)}}}],
        }
        for index, grant in enumerate(grants)
    }
    return {"@type": _TYPES + RBAC.DESCRIPTOR.full_name, "rules": {"policies": policies}}


def _classic_path(pattern: str) -> dict[str, Any]:
    if pattern.endswith("/**"):
        return {"prefix": pattern.removesuffix("**")}
    if "{id}" in pattern:
        return {"safe_regex": {"regex": re.escape(pattern).replace(r"\{id\}", "[^/]+")}}
    return {"exact": pattern}


def rego_data(grants: list[Grant]) -> dict[str, Any]:
    """Return the same rules as data for `REGO`: literals by look-up, the rest by pattern."""
    found: dict[str, Any] = {}
    for grant in grants:
        methods = found.setdefault(str(grant.caller), {}).setdefault(
            grant.method, {"literal": {}, "globs": []}
        )
        if "{" in grant.pattern or "*" in grant.pattern:
            methods["globs"].append(grant.pattern.replace("{id}", "*"))
        else:
            methods["literal"][grant.pattern] = True
    return {"rules": found}


REGO: Final = """package envoy.authz

import rego.v1

default allow := false

request := input.attributes.request.http
path := split(request.path, "?")[0]
granted := data.rules[input.attributes.source.principal][request.method]

allow if granted.literal[path]

allow if {
	some pattern in granted.globs
	glob.match(pattern, ["/"], path)
}
"""

_TYPES: Final = "type.googleapis.com/"


def typed(message: Message) -> dict[str, Any]:
    """Return a message as a typed configuration in JSON."""
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return {"@type": _TYPES + message.DESCRIPTOR.full_name} | found
