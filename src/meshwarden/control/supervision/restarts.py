"""When a program that ended is started again: soon at first, ever later while it keeps ending.

Pure: a step from the restarts so far and the last run's length to the next delay.
"""

from dataclasses import dataclass
from typing import Final

_MAX_DOUBLINGS: Final = 32  # beyond any cap; keeps the power finite


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How long to wait.

    Attributes:
        first_s: after the first end; short, because a killed sidecar cuts its service off.
        factor: how much longer each time.
        cap_s: never longer than this, so that what was repaired comes back by itself.
        quiet_s: a run of this length makes the next end a first one again.
    """

    first_s: float = 0.1
    factor: float = 2.0
    cap_s: float = 15.0
    quiet_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """How many ends came without a quiet run between them."""

    in_a_row: int = 0


def next_restart(
    before: Restarts, policy: RestartPolicy, *, ran_s: float
) -> tuple[Restarts, float]:
    """Return the state after a run of `ran_s` seconds that ended, and the seconds to wait now."""
    in_a_row = 1 if ran_s >= policy.quiet_s else before.in_a_row + 1
    doublings = min(in_a_row - 1, _MAX_DOUBLINGS)
    return Restarts(in_a_row), min(policy.cap_s, policy.first_s * policy.factor**doublings)
