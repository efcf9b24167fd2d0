"""The data that the module asks, and what it cannot answer."""

from collections.abc import Iterator
from typing import Any, Final

from meshwarden.policy.model import AccessPolicy, Rule
from meshwarden.policy.path import PathPattern
from meshwarden.policy.reach.grant import ANY_PATH
from meshwarden.policy.targets.cluster import DEFAULT, Cluster, chosen
from meshwarden.policy.targets.manifest import Compiled
from meshwarden.policy.targets.rego.module import MODULE
from meshwarden.policy.targets.unexpressed import Unexpressed

TARGET: Final = "rego"
REMARKS: Final = (
    "paths are taken as they come: one that is not in its normal form is refused",
    "claims are trusted: verify the token before OPA is asked",
)


def compile_policy(
    policy: AccessPolicy,
    cluster: Cluster = DEFAULT,  # noqa: ARG001  # every target is called alike
    service_name: str | None = None,
) -> Compiled:
    """Return the module and the data for one service (for all, where None)."""
    callees: dict[str, Any] = {}
    lost: list[Unexpressed] = []
    for service in chosen(policy, service_name):
        callers: dict[str, list[Any]] = {}
        for rule in service.accepts:
            value = _rule(rule)
            for source in rule.sources:
                callers.setdefault(str(source), []).append(value)
        callees[str(service.identity)] = callers
        lost += _lost(service.accepts)
    data = {"meshwarden": {"policy": callees}}
    return Compiled(
        files={"policy.rego": MODULE, "data.json": data}, unexpressed=tuple(lost), remarks=REMARKS
    )


def _rule(rule: Rule) -> dict[str, Any]:
    token = rule.token
    return {
        "name": rule.name,
        "tcp": rule.tcp,
        "methods": None if rule.methods is None else sorted(rule.methods),
        "paths": [_pattern(one) for one in (ANY_PATH if rule.paths is None else rule.paths)],
        "token": None
        if token is None
        else {
            "scopes": list(token.scopes),
            "acr": token.acr,
            "bound": token.bound,
            "once": token.once,
        },
    }


def _pattern(pattern: PathPattern) -> dict[str, Any]:
    return {"segments": list(pattern.segments), "rest": pattern.rest}


def _lost(rules: tuple[Rule, ...]) -> Iterator[Unexpressed]:
    for rule in rules:
        if rule.token is not None and rule.token.once:
            what = "OPA cannot tell whether its token was used before: the rule allows nothing"
            yield Unexpressed(target=TARGET, rule=rule.name, where=rule.where, what=what)
