"""Exfiltration: cardholder data leaves through the one outside host that payments may reach.

The card network takes documents of any of its merchants, and the attacker is one: a listed host is
his way out. `slow-exfiltration` hides the loot in what looks like authorizations, a little at a
time, spread over all the seconds that there are.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from numpy.random import Generator

from meshwarden.lab.attacks.model import Attack, Foothold, Goal, Step, paced
from meshwarden.lab.bank.rules import COLLECTOR, DOCUMENTS

PIECE_BYTES: Final = 512 * 1024
PIECES: Final = 24
SLOW_BYTES: Final = 6_000
SLOW_PER_S: Final = 1.0


def _plan(foothold: Foothold, chance: Generator, seconds: float) -> Iterator[Step]:
    for at_s in paced(chance, PIECES, seconds):
        yield Step(
            at_s=at_s,
            host=foothold.egress[0],
            method="POST",
            path=DOCUMENTS,
            route=DOCUMENTS,
            body=chance.bytes(PIECE_BYTES),
        )


def slow_plan(
    foothold: Foothold,
    chance: Generator,
    seconds: float,
    *,
    per_s: float = SLOW_PER_S,
    octets: int = SLOW_BYTES,
) -> Iterator[Step]:
    """Yield authorizations that carry about `octets` of loot each, `per_s` a second."""
    for at_s in paced(chance, max(1, round(seconds * per_s)), seconds, jitter=0.9):
        yield Step(
            at_s=at_s,
            host=foothold.egress[0],
            method="POST",
            path="/v1/authorizations",
            route="/v1/authorizations",
            body=_authorization(chance, round(octets * chance.uniform(0.7, 1.3))),
        )


def ramp_plan(foothold: Foothold, chance: Generator, seconds: float) -> Iterator[Step]:
    """Yield authorizations whose loot grows from nothing to SLOW_BYTES: teaching before taking."""
    for at_s in paced(chance, max(1, round(seconds * SLOW_PER_S)), seconds, jitter=0.9):
        octets = max(2, round(SLOW_BYTES * at_s / seconds))
        [step] = slow_plan(foothold, chance, 1 / SLOW_PER_S, octets=octets)
        yield replace(step, at_s=at_s)


def _authorization(chance: Generator, octets: int) -> bytes:
    body = {
        "key": f"{chance.bytes(8).hex()}",
        "merchant": COLLECTOR,
        "amount_minor": 1,
        "currency": "EUR",
        "memo": chance.bytes(octets // 2).hex(),
    }
    return json.dumps(body).encode()


ATTACK: Final = Attack(
    name="exfiltration",
    service="payments",
    summary="uploads cardholder data to his own account at the card network, a listed host",
    technique="T1567",
    goal=Goal.OCTETS_ARRIVED,
    plan=_plan,
    brief_s=12,
)
SLOW_ATTACK: Final = Attack(
    name="slow-exfiltration",
    service="payments",
    summary="hides cardholder data in what looks like card authorizations, a little at a time",
    technique="T1030",
    goal=Goal.OCTETS_ARRIVED,
    plan=slow_plan,
)
