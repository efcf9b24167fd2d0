"""What is no attack: rolling releases that bring new edges, which the policy declares first.

Each day another service gets a new release. From some hour on its calls carry the new release's
name, and it makes calls that nobody made before, which a new rule of the policy allows.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.yaml import load_document
from meshwarden.kernel import CALL_SCHEMA, Call, SpiffeId, calls_to_table
from meshwarden.lab.attacks.model import chance_of
from meshwarden.lab.attacks.simulate import START, World, simulated_calls
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.policy import AccessPolicy, PathPattern, Rule, parse_policy

RELEASES: Final = 10
_PER_HOUR: Final = 40
_NS: Final = 1_000_000_000
# (caller, callee, route): none of them is called before.
_NEW: Final = (
    ("payments", "scoring", "/v2/limits"), ("gateway", "notifications", "/v2/preferences"),
    ("accounts", "aml", "/v2/flags"), ("scoring", "payments", "/v2/history"),
    ("aml", "ledger", "/v2/turnover"), ("idp", "accounts", "/v2/contacts"),
    ("gateway", "ledger", "/v2/statements"), ("payments", "idp", "/v2/step-up"),
    ("notifications", "accounts", "/v2/contacts"), ("accounts", "notifications", "/v2/messages"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    caller: str
    callee: str
    route: str
    begins: int

    @property
    def name(self) -> str:
        return f"{self.caller}-{self.begins // _NS}"


def released_days(seed: int, world: World) -> tuple[pa.Table, pa.Table, AccessPolicy]:
    """Return quiet days, ten days with a release each, and the policy that declares their edges."""
    policy = parse_policy(load_document(ACCESS_POLICY))
    calls = simulated_calls(seed, world, days=RELEASES)
    chance = chance_of(seed, "releases")
    first = START + timedelta(days=world.history_days)
    releases = [
        _Release(
            caller=caller, callee=callee, route=route,
            begins=int((first + timedelta(days=day, hours=chance.uniform(8, 16))).timestamp())
            * _NS,
        )
        for day, (caller, callee, route) in enumerate(_NEW)
    ]  # fmt: skip
    calls = _named_at_first(calls)
    for release in releases:
        calls = _named(calls, str(policy.services[release.caller].identity), release)
    end = int((first + timedelta(days=RELEASES)).timestamp()) * _NS
    new = [call for each in releases for call in _calls(policy, each, end, chance)]
    both = pa.concat_tables([calls, calls_to_table(new)]).unify_dictionaries().sort_by("time")
    before = pc.less(both["time"].cast(pa.int64()), int(first.timestamp()) * _NS)
    return both.filter(before), both.filter(pc.invert(before)), declared(policy)


def declared(policy: AccessPolicy) -> AccessPolicy:
    """Return `policy` with a rule for each new edge."""
    services = dict(policy.services)
    for caller, callee, route in _NEW:
        service = services[callee]
        rule = Rule(
            name=f"{callee}.accepts[{len(service.accepts)}]",
            sources=(services[caller].identity,),
            methods=frozenset({"GET"}),
            paths=(PathPattern.parse(route),),
        )
        services[callee] = replace(service, accepts=(*service.accepts, rule))
    return replace(policy, services=services)


def _named(calls: pa.Table, source: str, release: _Release) -> pa.Table:
    """Return `calls` with the release's name on those of its service from its begin on."""
    late = pc.greater_equal(calls["time"].cast(pa.int64()), release.begins)
    its = pc.and_(late, pc.equal(calls["source"].cast(pa.string()), source))
    column = pc.if_else(its, release.name, calls["release"].cast(pa.string()))
    return _with_release(calls, column)


def _named_at_first(calls: pa.Table) -> pa.Table:
    """Return `calls` with a name for the release of each caller before its new one."""
    column = pc.binary_join_element_wise(calls["source"].cast(pa.string()), "first", "-")
    return _with_release(calls, column)


def _with_release(calls: pa.Table, column: pa.ChunkedArray) -> pa.Table:
    field = CALL_SCHEMA.field("release")
    place = calls.schema.get_field_index("release")
    return calls.set_column(place, field, column.cast(field.type))


def _calls(
    policy: AccessPolicy, release: _Release, end: int, chance: np.random.Generator
) -> list[Call]:
    hours = (end - release.begins) / (3600 * _NS)
    times = release.begins + np.sort(chance.random(round(hours * _PER_HOUR))) * (
        end - release.begins
    )
    identity: dict[str, SpiffeId] = {n: s.identity for n, s in policy.services.items()}
    return [
        Call(
            time=int(time), source=str(identity[release.caller]),
            destination=str(identity[release.callee]), protocol="http", method="GET",
            route=release.route, status=200, request_bytes=0,
            response_bytes=int(chance.integers(80, 400)),
            duration=int(chance.integers(1, 9)) * 1_000_000, mtls=True, release=release.name,
            rule=f"{release.callee}.accepts[new]", reporter="destination",
        )
        for time in times
    ]  # fmt: skip
