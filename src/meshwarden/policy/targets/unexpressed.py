"""What a target cannot enforce as written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpressed:
    """One part of one rule that a target cannot check; what the rule would allow is refused there.

    Attributes:
        target: `envoy`, ...
        rule: the rule's name.
        where: `file:line`.
        what: one sentence: what cannot be checked and what happens instead.
    """

    target: str
    rule: str
    where: str
    what: str
