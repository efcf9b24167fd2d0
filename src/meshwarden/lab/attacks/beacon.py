"""Beacon: an implant in payments asks its master for orders, regularly, through the listed host."""

from collections.abc import Iterator
from typing import Final

from numpy.random import Generator

from meshwarden.lab.attacks.model import Attack, Foothold, Goal, Step
from meshwarden.lab.bank.rules import ANNOUNCEMENTS

PERIOD_S: Final = 1.0
_JITTER: Final = 0.1


def _plan(foothold: Foothold, chance: Generator, seconds: float) -> Iterator[Step]:
    at_s = 0.0
    while at_s < seconds:
        yield Step(at_s=at_s, host=foothold.egress[0], path=ANNOUNCEMENTS, route=ANNOUNCEMENTS)
        at_s += PERIOD_S * (1 + _JITTER * (2 * chance.random() - 1))


ATTACK: Final = Attack(
    name="beacon",
    service="payments",
    summary="asks an outside host for orders, once a second, as an implant does",
    technique="T1071.001",
    goal=Goal.OCTETS_ARRIVED,
    plan=_plan,
)
