"""What enforces a policy, one module each; all agree with `decide` or say what they cannot."""

from meshwarden.policy.targets.unexpressed import Unexpressed

__all__ = ["Unexpressed"]
