"""One rule against one request or connection: which of the rule's conditions it misses."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from meshwarden.kernel import SpiffeId
from meshwarden.policy.model import Connection, HttpRequest, Rule, TokenRequirement
from meshwarden.policy.path import normalize_path

Claims = Mapping[str, Any]


class Miss(StrEnum):
    """A condition of a rule that is not met."""

    KIND = "kind"  # a request for a rule about connections, or the other way round
    SOURCE = "from"
    METHOD = "methods"
    PATH = "paths"
    PORT = "tcp"
    TOKEN = "token"  # noqa: S105  # a key of the policy, no secret


def misses(
    rule: Rule, asked: HttpRequest | Connection, claims: Claims | None = None
) -> frozenset[Miss]:
    """Return all the conditions of `rule` that `asked` misses; empty where the rule allows it."""
    missed: set[Miss] = set()
    if asked.source not in rule.sources:
        missed.add(Miss.SOURCE)
    if isinstance(asked, Connection):
        if rule.tcp is None:
            missed.add(Miss.KIND)
        elif rule.tcp != asked.port:
            missed.add(Miss.PORT)
        return frozenset(missed)
    if rule.tcp is not None:
        missed.add(Miss.KIND)
    if rule.methods is not None and asked.method not in rule.methods:
        missed.add(Miss.METHOD)
    if not _matches_path(rule, asked.path):
        missed.add(Miss.PATH)
    if rule.token is not None and not _satisfies(rule.token, claims, asked.source):
        missed.add(Miss.TOKEN)
    return frozenset(missed)


def _matches_path(rule: Rule, raw_path: str) -> bool:
    path = normalize_path(raw_path)
    if path is None:
        return False
    return rule.paths is None or any(pattern.matches(path) for pattern in rule.paths)


def _satisfies(token: TokenRequirement, claims: Claims | None, source: SpiffeId) -> bool:
    """Return whether `claims` meet `token`; an absent or strangely typed claim meets nothing."""
    if claims is None:
        return False
    scope = claims.get("scope")  # one text, parted by spaces: RFC 6749, section 3.3
    if isinstance(scope, str):
        scope = scope.split(" ")  # a proxy does so first: it cannot tell a list from such a text
    granted = [one for one in scope if isinstance(one, str)] if isinstance(scope, list) else []
    return (
        set(token.scopes).issubset(granted)
        and (token.acr is None or claims.get("acr") == token.acr)
        and (not token.bound or claims.get("req_wl") == str(source))
    )
