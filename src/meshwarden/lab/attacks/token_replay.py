"""Token replay: a token out of one service's memory, presented by another that policy lets in.

The thief has two services. In `accounts`, which handles customers' requests of every kind, he reads
live transaction tokens out of the memory; `scoring` presents them. Somebody forgot scoring in two
rules, so that neither caller, path nor scope keeps it out:

1. `ledger`, booking a transfer, which is `bound`: the token has to have been asked for by whoever
   presents it.
2. `accounts`, a customer's accounts, which is not: there the replay is answered, and found.
"""

import json
from collections.abc import Iterator
from typing import Final

from numpy.random import Generator

from meshwarden.lab.attacks.model import (
    Attack,
    Foothold,
    Forgotten,
    Goal,
    Loot,
    Step,
    paced,
)
from meshwarden.propagate import HEADER

BOOKS: Final = "transfer:write ledger:post"
"""Of a transfer: one of a credit application books, too, but passes through scoring rightly."""

READS: Final = "accounts:read"
_ROUNDS: Final = 4
_APART_S: Final = 0.02


def _plan(foothold: Foothold, chance: Generator, seconds: float) -> Iterator[Step]:
    books, reads = foothold.token_for(BOOKS), foothold.token_for(READS)
    for at_s in paced(chance, _ROUNDS, seconds - _APART_S):
        yield _booking(at_s, books, foothold, chance)
        yield _reading(at_s + _APART_S, reads)


def _booking(at_s: float, loot: Loot, foothold: Foothold, chance: Generator) -> Step:
    order = {
        "key": chance.bytes(8).hex(),
        "debit": foothold.accounts[chance.integers(len(foothold.accounts))],
        "credit": foothold.mule,
        "amount_minor": int(chance.integers(100_00, 900_00)),
        "currency": "EUR",
        "reference": foothold.mark,
    }
    return Step(
        at_s=at_s,
        host="ledger",
        method="POST",
        path="/v1/transfers",
        body=json.dumps(order).encode(),
        headers=((HEADER, loot.token),),
        route="/v1/transfers",
    )


def _reading(at_s: float, loot: Loot) -> Step:
    customer = str(loot.claims["sub"])
    return Step(
        at_s=at_s,
        host="accounts",
        path=f"/v1/customers/{customer}/accounts",
        headers=((HEADER, loot.token), ("x-customer", customer)),
        route="/v1/customers/{}/accounts",
    )


ATTACK: Final = Attack(
    name="token-replay",
    service="scoring",
    summary="presents transaction tokens that were read out of the memory of accounts",
    technique="T1550.001",
    goal=Goal.ROW_BOOKED,
    plan=_plan,
    brief_s=6,
    robs="accounts",
    wants=(BOOKS, READS),
    grants=(
        Forgotten(service="ledger", method="POST", path="/v1/transfers"),
        Forgotten(service="accounts", method="GET", path="/v1/customers/{id}/accounts"),
    ),
)
