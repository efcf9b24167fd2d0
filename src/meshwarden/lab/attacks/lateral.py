"""Lateral movement: from credit scoring towards the money, one service after the other.

He knows the bank's API. He tries the ledger itself, then those who may call it, at the pace of a
person who reads each answer.
"""

import json
from collections.abc import Iterator
from typing import Final

from numpy.random import Generator

from meshwarden.lab.attacks.model import Attack, Foothold, Goal, Step, paced

_ROUNDS: Final = 2


def _plan(foothold: Foothold, chance: Generator, seconds: float) -> Iterator[Step]:
    wanted = [step for _ in range(_ROUNDS) for step in _round(foothold, chance)]
    for at_s, (method, host, path, route, body) in zip(
        paced(chance, len(wanted), seconds, jitter=0.9), wanted, strict=True
    ):
        yield Step(at_s=at_s, host=host, method=method, path=path, route=route, body=body)


def _round(foothold: Foothold, chance: Generator) -> list[tuple[str, str, str, str, bytes]]:
    account = foothold.accounts[chance.integers(len(foothold.accounts))]
    order = {
        "key": f"{chance.bytes(8).hex()}",
        "debit": account,
        "credit": foothold.mule,
        "amount_minor": int(chance.integers(100_00, 900_00)),
        "currency": "EUR",
        "reference": foothold.mark,
    }
    booking = json.dumps(order).encode()
    balance, statement = f"/v1/accounts/{account}/balance", f"/v1/accounts/{account}/statement"
    return [
        ("GET", "ledger", balance, "/v1/accounts/{}/balance", b""),
        ("POST", "ledger", "/v1/transfers", "/v1/transfers", booking),
        ("GET", "accounts", statement, "/v1/accounts/{}/statement", b""),
        ("POST", "payments", "/v1/transfers", "/v1/transfers", booking),
        ("POST", "idp", "/token", "/token", b"grant_type=client_credentials"),
    ]


ATTACK: Final = Attack(
    name="lateral",
    service="scoring",
    summary="moves on from credit scoring towards the ledger, and tries to book to his own account",
    technique="T1210",
    goal=Goal.ROW_BOOKED,
    plan=_plan,
    brief_s=20,
)
