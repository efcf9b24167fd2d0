"""How tokens, and what was said before, decide which rare groups become alarms."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tests.behaviour_world import HOUR, SECOND, START

from meshwarden.behaviour.budget import ALARM, FOLLOW_UPS, SUSPECT, spend
from meshwarden.behaviour.combine import GROUP

BUDGET, SLACK, COST = 1.0, 3.0, 10.0
EDGE, SOURCE = 0, 1


@dataclass
class World:
    """An edge that has long been known, its parties, and what may be spent."""

    tokens: float = 2.0
    days: float = 28.0
    edges: Any = field(default_factory=lambda: np.zeros(1, GROUP))
    sources: Any = field(default_factory=lambda: np.zeros(1, GROUP))
    parties: Any = field(default_factory=lambda: np.zeros(2, SUSPECT))

    def __post_init__(self) -> None:
        self.edges[0]["hour"], self.edges[0]["born"] = 500, 100
        self.purse = np.array([self.tokens, START, FOLLOW_UPS])

    def told(
        self, per_day: float, *, after: int = 0, family: int = 0, about: int = EDGE,
        news: bool = False,
    ) -> bool:  # fmt: skip
        """Return whether what is seen so often a day becomes an alarm."""
        whom = self.edges[0] if about == EDGE else self.sources[0]
        outcome = spend(
            math.log(per_day), START + after, BUDGET, SLACK, COST, self.purse, self.edges[0],
            self.parties[0], self.parties[1], whom, False, news, self.days, about, family,
        )  # fmt: skip
        return bool(outcome == ALARM)


@pytest.mark.parametrize("tokens", [2.0, 1.5, 1.0, 0.5])
def test_an_alarm_has_to_be_rarer_in_proportion_to_the_tokens_that_are_left(tokens: float) -> None:
    share = tokens / 2.0
    assert World(tokens).told(0.99 * SLACK * share)
    assert not World(tokens).told(1.01 * SLACK * share)


@pytest.mark.parametrize(("days", "share"), [(0.0, 0.449), (14.0, 0.670), (28.0, 1.0), (90.0, 1.0)])
def test_what_is_little_known_has_to_be_rarer(days: float, share: float) -> None:
    assert World(days=days).told(0.99 * SLACK * share)
    assert not World(days=days).told(1.01 * SLACK * share)


def test_with_less_than_half_a_token_only_what_is_a_hundred_times_rarer_is_told() -> None:
    assert World(0.49).told(SLACK / 101)
    assert not World(0.49).told(SLACK / 99)
    assert not World(-3.5).told(SLACK / 1e9)


def test_another_kind_of_evidence_joins_the_alarm_of_its_edge_without_a_token_and_once() -> None:
    world = World(1.0)
    assert world.told(1e-4)
    assert not world.told(SLACK / 101, after=60 * SECOND)  # the same kind
    assert not world.told(SLACK / 99, after=60 * SECOND, family=1)
    assert world.told(SLACK / 101, after=60 * SECOND, family=1)
    assert not world.told(SLACK / 101, after=61 * SECOND, family=1)
    assert not world.told(SLACK / 101, after=2 * HOUR, family=2)
    assert world.purse[0] < 0.2


def test_a_first_contact_that_joined_an_incident_is_not_said_again_unless_it_is_rarer() -> None:
    for more, again in ((1.0, False), (1e-4, True)):
        world = World()
        world.edges[0]["born"] = world.edges[0]["hour"]
        world.parties[0]["level"], world.parties[0]["until"] = 1.0, START
        assert world.told(1e-4, after=60 * SECOND, news=True)
        assert world.purse[0] > 1.9  # without a token
        world.edges[0]["hour"] += 3
        assert world.told(1e-4 * more, after=3 * HOUR) == again


def test_what_a_source_alarmed_with_is_no_other_kind_of_evidence() -> None:
    world = World()
    assert world.told(1e-4, about=SOURCE)
    assert not world.told(1e-2, after=60 * SECOND, about=SOURCE)


def test_a_service_never_used_before_is_told_however_extreme_an_alarm_of_the_edge_was() -> None:
    for news in (True, False):
        world = World()
        assert world.told(1e-9, news=True)
        assert world.told(1e-5, after=3 * HOUR, news=news) == news
