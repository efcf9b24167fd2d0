"""How tokens, and what was said before, decide which rare groups become alarms."""

import math

import numpy as np
import pytest
from tests.behaviour_world import START

from meshwarden.behaviour.budget import ALARM, FOLLOW_UPS, SUSPECT, spend
from meshwarden.behaviour.combine import GROUP

BUDGET, SLACK, COST = 1.0, 3.0, 10.0


def _raised(per_day: float, tokens: float) -> bool:
    """Return whether what is seen so often a day becomes an alarm with so many tokens left."""
    edges, parties = np.zeros(1, GROUP), np.zeros(2, SUSPECT)
    edges[0]["hour"], edges[0]["born"] = 500, 100
    purse = np.array([tokens, START, FOLLOW_UPS])
    outcome = spend(
        math.log(per_day), START, BUDGET, SLACK, COST, purse, edges[0], parties[0], parties[1],
        edges[0], False, False, 30.0, 0, 0,
    )  # fmt: skip
    return bool(outcome == ALARM)


@pytest.mark.parametrize("tokens", [2.0, 1.5, 1.0])
def test_an_alarm_has_to_be_rarer_in_proportion_to_the_tokens_that_are_left(tokens: float) -> None:
    share = tokens / 2.0
    assert _raised(0.99 * SLACK * share, tokens)
    assert not _raised(1.01 * SLACK * share, tokens)


def test_without_a_token_only_what_is_a_hundred_times_rarer_is_told() -> None:
    assert _raised(SLACK / 101, 0.5)
    assert not _raised(SLACK / 99, 0.5)
    assert not _raised(SLACK / 1e9, -3.5)
