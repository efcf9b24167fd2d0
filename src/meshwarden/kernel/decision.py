"""What policy answers: allowed or not, by which rule, and what would change a refusal."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One answer of a policy.

    Attributes:
        allowed: whether the request may pass.
        rule: the rule that allowed it; None where no rule did.
        reason: one sentence: why.
        fix: the smallest change to the policy that would allow it; None when allowed, or when no
            change of policy should (an unclean path, an unknown service).
    """

    allowed: bool
    rule: str | None
    reason: str
    fix: str | None = None
