"""What was read so far."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from meshwarden.kernel import InputError, SpiffeId
from meshwarden.policy.intake.part import LeftOut, Part
from meshwarden.policy.intake.workloads import Workload, Workloads
from meshwarden.policy.model import Egress, Rule

MAX_RULES: Final = 200_000
"""Rules in all: a policy without selector counts once for each workload of its namespace."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """Rules by callee, in the order read.

    Attributes:
        workloads: who is who.
        rules: what each callee accepts; no rule stands there twice.
        egress: the outside hosts of each caller.
        left_out: what could not be represented.
        objects: how many objects were read.
    """

    workloads: Workloads
    rules: dict[SpiffeId, list[Rule]] = field(default_factory=dict)
    egress: dict[SpiffeId, list[Egress]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    objects: int = 0
    _said: set[tuple[object, ...]] = field(default_factory=set, init=False, repr=False)

    def callee(self, identity: SpiffeId) -> None:
        """Note that something limits who may call `identity`, whether anyone may or not."""
        self.rules.setdefault(identity, [])

    def add(self, callees: Iterable[Workload], rule: Rule) -> None:
        """Let each of `callees` accept what `rule` allows."""
        for callee in callees:
            key = (callee.identity, *_meaning(rule))
            if key in self._said:
                continue
            if len(self._said) >= MAX_RULES:
                raise InputError(
                    "policy.too_many",
                    f"the input makes more than {MAX_RULES} rules",
                    where="policy import",
                    hint="read it in parts, a namespace at a time",
                )
            self._said.add(key)
            self.rules.setdefault(callee.identity, []).append(rule)

    def add_egress(self, caller: SpiffeId, egress: Egress) -> None:
        """Let `caller` reach a host outside."""
        have = self.egress.setdefault(caller, [])
        if egress not in have:
            have.append(egress)

    def leave_out(self, part: Part, what: str, *, wider: bool = False) -> None:
        """Note that `part` could not be represented."""
        self.left_out.append(part.leave_out(what, wider=wider))

    @property
    def foreign(self) -> list[SpiffeId]:
        """Callees of another trust domain: a policy's own services are inside its own."""
        domain = self.workloads.trust_domain
        return sorted(one for one in {*self.rules, *self.egress} if one.trust_domain != domain)


def _meaning(rule: Rule) -> tuple[object, ...]:
    paths = None if rule.paths is None else frozenset(rule.paths)
    return frozenset(rule.sources), rule.methods, paths, rule.tcp, rule.token
