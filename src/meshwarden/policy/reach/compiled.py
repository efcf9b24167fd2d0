"""The compiled form: callee, caller, and a trie of path patterns; the same answers as `decide`.

Trees are built when a pair is first asked about, and kept. A refusal here names no fix: ask the
reference evaluator, which compares with every rule.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from meshwarden.kernel import Decision, SpiffeId
from meshwarden.policy.match import Claims, misses
from meshwarden.policy.model import AccessPolicy, Connection, HttpRequest
from meshwarden.policy.path import normalize_path
from meshwarden.policy.reach.grant import Grant
from meshwarden.policy.reach.tree import Tree

# Paths that are their own normal form, seen at a glance; every other goes through normalize_path.
_NORMAL: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+")
_UNCLEAN: Final = "its path is one that every policy refuses (malformed or ambiguous)"


@dataclass
class Pair:
    """What one caller may do at one callee."""

    grants: list[Grant] = field(default_factory=list)
    tcp: dict[int, Grant] = field(default_factory=dict)

    @cached_property
    def tree(self) -> Tree:
        """The patterns of its grants about requests."""
        return Tree.of(self.grants)


class CompiledPolicy:
    """A policy indexed for many questions.

    Args:
        policy: the policy.
    """

    def __init__(self, policy: AccessPolicy) -> None:
        self.policy = policy
        self.pairs: dict[SpiffeId, dict[SpiffeId, Pair]] = {}
        self._services: dict[SpiffeId, tuple[dict[SpiffeId, Pair], Decision]] = {}
        for service in policy.services.values():
            callers: dict[SpiffeId, Pair] = {}
            self.pairs[service.identity] = callers
            refusal = _refused(f"no rule of {service.name} allows it")
            self._services[service.identity] = callers, refusal
            for order, rule in enumerate(service.accepts):
                grant = Grant(rule=rule, order=order)
                for source in rule.sources:
                    pair = callers.setdefault(source, Pair())
                    if rule.tcp is None:
                        pair.grants.append(grant)
                    else:
                        pair.tcp.setdefault(rule.tcp, grant)

    def pair(self, source: SpiffeId, destination: SpiffeId) -> Pair | None:
        """Return what `source` may do at `destination`; None where it may do nothing."""
        callers = self.pairs.get(destination)
        return None if callers is None else callers.get(source)

    def decide(self, asked: HttpRequest | Connection, claims: Claims | None = None) -> Decision:
        """Return what the reference evaluator answers, but for the fix of a refusal."""
        service = self._services.get(asked.destination)
        if service is None:
            return _refused(f"{asked.destination} is no service of this policy")
        callers, refusal = service
        pair = callers.get(asked.source)
        if isinstance(asked, Connection):
            found = None if pair is None else pair.tcp.get(asked.port)
            return refusal if found is None else found.decision
        path = asked.path
        if _NORMAL.fullmatch(path) is None:
            normal = normalize_path(path)
            if normal is None:
                return _refused(_UNCLEAN)
            path = normal
        best = None if pair is None else _first(pair, asked, path, claims)
        return refusal if best is None else best.decision


def _first(pair: Pair, asked: HttpRequest, path: str, claims: Claims | None) -> Grant | None:
    """Return the first grant in the file's order that allows the request."""
    best: Grant | None = None
    method = asked.method
    for grant in pair.tree.matching(path[1:].split("/")):
        methods = grant.methods
        if (
            (methods is None or method in methods)
            and (best is None or grant.order < best.order)
            and (grant.token is None or not misses(grant.rule, asked, claims))
        ):
            best = grant
    return best


def _refused(reason: str) -> Decision:
    return Decision(allowed=False, rule=None, reason=reason)
