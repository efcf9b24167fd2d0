"""Writes the calls that an attack leaves behind, without running anything, and which they are.

The steps are the plan's own; whether each is refused, and by whose sidecar, is the policy's answer,
so that each call has the form in which the recorder would have it. `STRETCH` turns the plan's
seconds, made for a bank whose customers live 60 times faster, into the bank's own.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import EXTERNAL, Call, calls_to_table
from meshwarden.lab.attacks import ATTACKS
from meshwarden.lab.attacks.forgotten import policy_found_by
from meshwarden.lab.attacks.model import (
    Attack,
    Foothold,
    Loot,
    Step,
    Way,
    chance_of,
    unverified_claims,
)
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.calibration import HopSizes, draw, load_calibration
from meshwarden.lab.customers import Bools, CustomerModel
from meshwarden.lab.mesh import CARD_NETWORK_HOST
from meshwarden.lab.synthesize import synthesize
from meshwarden.policy import AccessPolicy, HttpRequest, Service, decide
from meshwarden.propagate import HEADER

STRETCH: Final = 60.0
START: Final = datetime(2026, 3, 2, tzinfo=UTC)
_NS: Final = 1_000_000_000
_DAY_S: Final = 86_400
_DENIED: Final = 19  # octets of a callee's sidecar's 403; the caller's own names the caller
_NOT_LISTED: Final = 41
_ANSWER: Final = 40  # octets, where no customer's action causes such a call
_WEB: Final = 80
_OK: Final = {"GET": 200, "POST": 201}
_LASTS_S: Final[Mapping[str, float]] = {"slow-exfiltration": 480, "beacon": 120}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the simulated bank is.

    Attributes:
        customers: how many live by the model.
        history_days: quiet days before the day of the attack.
        stretch: seconds of the bank for each second of the plan.
        lasts_s: seconds of the plan; by default what suits each attack.
    """

    customers: int = 1000
    history_days: float = 7.0
    stretch: float = STRETCH
    lasts_s: float | None = None


def simulated_attack(
    name: str, seed: int, world: World | None = None, *, attack: Attack | None = None
) -> tuple[pa.Table, Bools]:
    """Return quiet days and one day with an attack in it, and which rows are the attack's.

    Args:
        name: one of `ATTACKS`.
        seed: chance of customers, of the attack, and of the hour at which it begins.
        world: the bank.
        attack: another attack than that of the name (a variant).

    Returns:
        Calls of CALL_SCHEMA by time, and for each whether it is the attacker's (bool[n]).
    """
    world = world or World()
    quiet = simulated_calls(seed, world)
    chance = chance_of(seed, name)
    hour = chance.uniform(1.0, 14.0)
    begins = START + timedelta(days=world.history_days, hours=hour)
    hostile = attack_calls(
        attack or ATTACKS[name], chance, begins, lasts_s=world.lasts_s, stretch=world.stretch
    )
    return merged(quiet, hostile)


def simulated_calls(
    seed: int, world: World, *, days: float = 1.0, sessions: bool = False
) -> pa.Table:
    """Return the quiet days and `days` more, with nothing wrong in them."""
    model = CustomerModel(seed=seed, customers=world.customers)
    span_s = (world.history_days + days) * _DAY_S
    timeline = model.timeline(start=START, span_s=span_s)
    return synthesize(timeline, start=START, seed=seed, postgres=True, sessions=sessions)


def merged(quiet: pa.Table, hostile: pa.Table) -> tuple[pa.Table, Bools]:
    """Return both by time, and which rows are of `hostile`."""
    both = pa.concat_tables([quiet, hostile]).unify_dictionaries().combine_chunks()
    order = np.asarray(pc.sort_indices(both["time"]))
    labels: Bools = order >= quiet.num_rows
    return both.take(pa.array(order)), labels


def attack_calls(
    attack: Attack,
    chance: np.random.Generator,
    begins: datetime,
    *,
    lasts_s: float | None = None,
    stretch: float = STRETCH,
) -> pa.Table:
    """Return the calls of `attack` alone, as the recorder would have them."""
    policy = policy_found_by(attack)
    foothold = simulated_foothold(policy, attack)
    lasts = lasts_s or attack.brief_s or _LASTS_S.get(attack.name, 60)
    begin = int(begins.timestamp()) * _NS
    recorded = _Recorder(policy, policy.services[attack.service], chance, load_calibration())
    rows = [
        recorded.call(step, begin + round(step.at_s * stretch * _NS))
        for step in attack.plan(foothold, chance, lasts)
    ]
    return calls_to_table(rows)


def simulated_foothold(policy: AccessPolicy, attack: Attack) -> Foothold:
    """Return what the intruder would find in the isolated bank."""
    directory = Directory("meshwarden", 50)
    known = [directory.customer(number) for number in range(1, 50)]
    others = [name for name in policy.services if name != attack.service]
    return Foothold(
        names=tuple(others),
        addresses=tuple(f"10.213.0.{11 + place}" for place in range(len(others))),
        egress=(CARD_NETWORK_HOST,),
        mule=directory.customer(0).accounts[0],
        accounts=tuple(customer.accounts[0] for customer in known),
        customers=tuple(customer.id for customer in known),
        loot=tuple(_loot(policy, scope, known[0].id) for scope in attack.wants),
    )


def _loot(policy: AccessPolicy, scope: str, customer: str) -> Loot:
    """Return what a customer's token says, which the gateway asked for; nobody signed this one."""
    gateway = str(policy.services["gateway"].identity)
    claims = {"scope": scope, "sub": customer, "req_wl": gateway, "txn": f"stolen-{scope}"}
    parts = ({"typ": "txntoken+jwt", "alg": "none"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts)
    return Loot(token=".".join(part.rstrip(b"=").decode() for part in encoded) + ".")


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Names each step as the record does."""

    policy: AccessPolicy
    caller: Service
    chance: np.random.Generator
    sizes: Mapping[str, HopSizes]

    def call(self, step: Step, time: int) -> Call:
        if step.way is Way.SOCKET:
            return self._knock(step, time)
        callee = self.policy.services.get(step.host)
        call = self._request(step, time)
        if callee is None:
            listed = any(egress.host == step.host for egress in self.caller.egress)
            return call if listed else _refused(call, "egress:not-listed", self._not_listed)
        call = replace(call, destination=str(callee.identity))
        if not any(self.caller.identity in rule.sources for rule in callee.accepts):
            return _refused(call, "egress:not-listed", self._not_listed)
        answer = decide(
            self.policy,
            HttpRequest(
                source=self.caller.identity,
                destination=callee.identity,
                method=step.method,
                path=step.path,
            ),
            _claims(step),
        )
        call = replace(call, reporter="destination", mtls=True, rule=answer.rule)
        return call if answer.allowed else _refused(call, "default-deny", _DENIED)

    @property
    def _not_listed(self) -> int:
        return _NOT_LISTED + len(self.caller.name)

    def _request(self, step: Step, time: int) -> Call:
        status = _OK.get(step.method, 200)
        place = step.host if step.host in self.policy.services else f"{EXTERNAL}{step.host}"
        hop = self.sizes.get(f"{self.caller.name} {place} {step.method} {step.route} {status}")
        uniform = self.chance.random(1)
        answer = int(draw(hop.response_bytes, uniform)[0]) if hop else _ANSWER
        return Call(
            time=time,
            source=str(self.caller.identity),
            destination=f"{EXTERNAL}{step.host}",
            protocol="http",
            method=step.method,
            route=step.route,
            status=status,
            request_bytes=len(step.body),
            response_bytes=answer,
            duration=round(2_000_000 * self.chance.lognormal(0, 0.4)),
            reporter="source",
        )

    def _knock(self, step: Step, time: int) -> Call:
        if step.port == _WEB:  # where no proxy is asked, the sidecar takes it all the same
            return _refused(self._request(step, time), "egress:not-listed", self._not_listed)
        return Call(
            time=time,
            source=str(self.caller.identity),
            destination=f"{EXTERNAL}{step.host}",
            destination_port=step.port,
            protocol="tcp",
            request_bytes=0,
            response_bytes=0,
            duration=0,
            denied=True,
            rule="egress:not-listed",
            reporter="source",
        )


def _claims(step: Step) -> dict[str, Any] | None:
    """Return what the step's transaction token says; None where it has none."""
    for name, value in step.headers:
        if name == HEADER:
            return unverified_claims(value)
    return None


def _refused(call: Call, rule: str, octets: int) -> Call:
    return replace(
        call, denied=True, rule=rule, status=403, response_bytes=octets, duration=200_000
    )
