"""What a target cannot enforce as written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpressed:
    """One part of one rule that a target cannot check.

    Attributes:
        target: `envoy`, ...
        rule: the rule's name; the service's, where it is about all of it.
        where: `file:line`.
        what: one sentence: what cannot be checked and what happens instead.
        wider: whether the target then allows more than is written; else what it cannot check is
            refused there.
    """

    target: str
    rule: str
    where: str
    what: str
    wider: bool = False
