"""Flood: credit scoring asks for customers' profiles, which it may, as fast as it can."""

from collections.abc import Iterator
from typing import Final

from numpy.random import Generator

from meshwarden.lab.attacks.model import Attack, Foothold, Goal, Step, paced

PER_S: Final = 80.0


def _plan(foothold: Foothold, chance: Generator, seconds: float) -> Iterator[Step]:
    for at_s in paced(chance, max(1, round(seconds * PER_S)), seconds):
        path = f"/v1/customers/{foothold.customers[chance.integers(len(foothold.customers))]}"
        yield Step(at_s=at_s, host="accounts", path=path, route="/v1/customers/{}")


ATTACK: Final = Attack(
    name="flood",
    service="scoring",
    summary="asks for customers' profiles, which it may, as fast as it can",
    technique="T1499",
    goal=Goal.CUSTOMERS_FAILED,
    plan=_plan,
    brief_s=10,
)
