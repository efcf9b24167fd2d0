"""Scan: every name is asked for its usual pages, every neighbour for its usual ports."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Final

from numpy.random import Generator

from meshwarden.lab.attacks.model import Attack, Foothold, Goal, Step, Way, paced

_PAGES: Final = ("/", "/healthz", "/metrics", "/admin", "/v1/accounts", "/openapi.json")
_PORTS: Final = (22, 80, 443, 5432, 6379, 8080)


def _plan(foothold: Foothold, chance: Generator, seconds: float) -> Iterator[Step]:
    asked = [Step(at_s=0, host=h, path=p, route=p) for h, p in product(foothold.names, _PAGES)]
    knocked = [
        Step(at_s=0, way=Way.SOCKET, host=address, port=port, route="/")
        for address, port in product(foothold.addresses, _PORTS)
    ]
    chance.shuffle(asked)
    chance.shuffle(knocked)
    for at_s, step in zip(
        paced(chance, len(asked) + len(knocked), seconds), [*asked, *knocked], strict=True
    ):
        yield replace(step, at_s=at_s)


ATTACK: Final = Attack(
    name="scan",
    service="notifications",
    summary="asks every name for its usual pages, and every neighbour for its usual ports",
    technique="T1046",
    goal=Goal.PORT_ANSWERED,
    plan=_plan,
    brief_s=10,
)
