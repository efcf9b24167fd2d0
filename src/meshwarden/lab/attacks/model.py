"""One contract for every attack: who is compromised, and what the intruder does, when.

An attack is a plan: a sequence of `Step`s made from what the intruder finds in place (`Foothold`)
and chance. `intruder` carries the steps out over real sockets, `simulate` writes the calls that
they would leave behind; both so have the same shape and timing.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from numpy.random import Generator, default_rng

LOOT: Final = "MESHWARDEN_LOOT"
"""The variable with stolen tokens in the intruder's environment: everybody may read its command."""

PROXY_WAY_PORT: Final = 80


class Way(StrEnum):
    """How a step leaves the compromised service."""

    PROXY = "proxy"  # as the service's own calls do: through its sidecar
    SOCKET = "socket"  # around the sidecar: a connection to an address


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that the intruder tries.

    Attributes:
        at_s: seconds after the attack's begin.
        way: through the sidecar, or around it.
        host: whom he asks for (PROXY), or the IP address that he connects to (SOCKET).
        port: the port that he connects to; no meaning for PROXY.
        method: HTTP method.
        path: HTTP path.
        body: JSON or other octets that he sends.
        headers: what he sends beside what any HTTP library does.
        route: what the record calls the path.
    """

    at_s: float
    way: Way = Way.PROXY
    host: str
    port: int = PROXY_WAY_PORT
    method: str = "GET"
    path: str = "/"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    route: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loot:
    """A live transaction token, as it was found in a service's memory; it prints without it."""

    token: str = field(repr=False)

    @property
    def claims(self) -> dict[str, Any]:
        """What it says; nobody has verified it."""
        return unverified_claims(self.token)

    @property
    def scopes(self) -> tuple[str, ...]:
        """What it authorizes."""
        return tuple(str(self.claims.get("scope", "")).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Foothold:
    """What a process in the compromised service finds.

    Attributes:
        names: host names that a look at the machine and at documentation gives.
        addresses: addresses of its neighbours.
        egress: outside hosts that the service's own code talks to.
        mule: an account that the attacker controls.
        accounts: ids of accounts that passed through the service's memory.
        customers: ids of customers that did.
        mark: reference that he puts on bookings of his own.
        loot: tokens out of the memory of another service, one for each scope that he wants.
    """

    names: tuple[str, ...]
    addresses: tuple[str, ...]
    egress: tuple[str, ...]
    mule: str
    accounts: tuple[str, ...]
    customers: tuple[str, ...]
    mark: str = "transfer"
    loot: tuple[Loot, ...] = ()

    def token_for(self, scope: str) -> Loot:
        """Return what he has that authorizes all of `scope`; LookupError where there is nothing."""
        for one in self.loot:
            if set(scope.split()) <= set(one.scopes):
                return one
        raise LookupError(f"no token for {scope} was found")


Plan = Callable[[Foothold, Generator, float], Iterator[Step]]
"""Gives the steps, earliest first, of an attack that is to last so many seconds."""


class Goal(StrEnum):
    """What the target's own state has to show for the attack to have succeeded."""

    PORT_ANSWERED = "a service that policy keeps from it answered"
    ROW_BOOKED = "the ledger holds a row that credits the attacker's account"
    OCTETS_ARRIVED = "octets arrived at the attacker's place outside"
    CUSTOMERS_FAILED = "customers were failed while it lasted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """A rule that lists the attacker's service, because somebody forgot to take it out.

    Attributes:
        service: whose rule it is.
        method: what it lets pass.
        path: a pattern of it.
    """

    service: str
    method: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack by name.

    Attributes:
        name: as on the command line.
        service: the service of the bank whose process is the attacker's.
        summary: one sentence: what he does.
        technique: ATT&CK technique.
        goal: how success is judged.
        plan: its steps.
        brief_s: how long it takes at most, in seconds of the plan; None: all that there are.
        robs: another compromised service, out of whose memory tokens are read first.
        wants: scopes (a token's, separated by spaces), for each of which he looks for one there.
        grants: what the bank's policy allows him in this attack alone.
    """

    name: str
    service: str
    summary: str
    technique: str
    goal: Goal
    plan: Plan
    brief_s: float | None = None
    robs: str | None = None
    wants: tuple[str, ...] = ()
    grants: tuple[Forgotten, ...] = ()


def unverified_claims(token: str) -> dict[str, Any]:
    """Return what a JWT says, as anybody can read it who has it."""
    raw = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    return found


def paced(chance: Generator, count: int, seconds: float, *, jitter: float = 0.5) -> Iterator[float]:
    """Yield `count` times within `seconds`, evenly but for `jitter` (a share of the gap)."""
    gap = seconds / max(1, count)
    for place in range(count):
        yield gap * (place + jitter * chance.random())


def chance_of(seed: int, name: str) -> Generator:
    """Return the chance of the attack `name` under `seed`, the same each time."""
    return default_rng([seed, *name.encode()])
