"""One rule about requests as one caller sees it, and when one condition implies another."""

from dataclasses import dataclass, field
from typing import Any, Final

from meshwarden.kernel import Decision, SpiffeId
from meshwarden.policy.model import Rule, TokenRequirement
from meshwarden.policy.path import PathPattern

ANY_PATH: Final = (PathPattern.parse("/"), PathPattern.parse("/**"))
"""What a rule without paths allows: these two patterns match every clean path."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grant:
    """A rule in its place in the file; compared by identity.

    Attributes:
        rule: the rule.
        order: its place among the service's rules; the first that allows is the one that is named.
        decision: the answer where it allows.
        methods: the rule's, at hand for decisions; so is `token`.
    """

    rule: Rule
    order: int
    decision: Decision = field(init=False)
    methods: frozenset[str] | None = field(init=False)
    token: TokenRequirement | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", self.rule.methods)
        object.__setattr__(self, "token", self.rule.token)
        name = self.rule.name
        decision = Decision(allowed=True, rule=name, reason=f"{name} allows it")
        object.__setattr__(self, "decision", decision)

    @property
    def patterns(self) -> tuple[PathPattern, ...]:
        """The patterns of its paths; any path is `ANY_PATH`."""
        return ANY_PATH if self.rule.paths is None else self.rule.paths

    def takes(self, method: str | None) -> bool:
        """Return whether it allows `method`; None is one that no rule names."""
        return self.rule.methods is None or method in self.rule.methods


def implies(given: TokenRequirement | None, wanted: TokenRequirement | None) -> bool:
    """Return whether whoever meets `given` meets `wanted`."""
    if wanted is None:
        return True
    return (
        given is not None
        and set(wanted.scopes) <= set(given.scopes)
        and wanted.acr in {None, given.acr}
        and wanted.bound <= given.bound
        and wanted.once <= given.once
    )


def least_claims(token: TokenRequirement | None, source: SpiffeId) -> dict[str, Any] | None:
    """Return claims that meet `token` and nothing beyond it; None where it needs no token."""
    if token is None:
        return None
    claims: dict[str, Any] = {}
    if token.scopes:
        claims["scope"] = " ".join(token.scopes)
    if token.acr is not None:
        claims["acr"] = token.acr
    if token.bound:
        claims["req_wl"] = str(source)
    return claims
