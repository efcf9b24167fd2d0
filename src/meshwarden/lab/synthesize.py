"""Writes the calls of a simulated span, without running anything, as a table of CALL_SCHEMA.

The customer model gives the actions, the call graph what each one causes, the calibration how big
and how long each call is. Columns are made a hop at a time for all actions that take the same
course, so that a week of two million calls takes seconds. The same arguments give the same table.
Not simulated: failures, overload, attacks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.adapters.oidc.keys import REFRESH_S
from meshwarden.adapters.yaml import load_document
from meshwarden.kernel import CALL_SCHEMA
from meshwarden.lab.bank.directory import HOME
from meshwarden.lab.bank.rules import (
    INCOMES,
    INSTALMENT_SHARE,
    QUERIES_PER_CONNECTION,
    STEP_UP_MINOR,
)
from meshwarden.lab.calibration import HopSizes, draw, load_calibration
from meshwarden.lab.callgraph import COURSES, CUSTOMERS, KEYS_HOP, Hop
from meshwarden.lab.customers import Bools, Ints, Kind, Timeline
from meshwarden.lab.mesh import ACCESS_POLICY
from meshwarden.policy import AccessPolicy, HttpRequest, decide, parse_policy

_QUERIES_PER_CALL: Final = 3.2  # statements and transaction control, mean over the ledger's calls
_QUERY_BYTES: Final = (190, 240)  # to and from the database, mean per query
_PAUSE_NS: Final = 1_500_000  # between a customer's requests that follow at once
_NS: Final = 1_000_000_000
_NO_ACTION: Final = -1
_DEVICES: Final = 8  # more than anyone has


@dataclass(slots=True)
class _Columns:
    """What is written of all hops, hop by hop."""

    hops: list[Hop] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    time: list[Ints] = field(default_factory=list)
    request_bytes: list[Ints] = field(default_factory=list)
    response_bytes: list[Ints] = field(default_factory=list)
    duration: list[Ints] = field(default_factory=list)
    action: list[Ints] = field(default_factory=list)


def synthesize(
    timeline: Timeline,
    *,
    start: datetime,
    seed: int,
    speed: float = 1.0,
    postgres: bool = False,
    sessions: bool = False,
    calibration: Mapping[str, HopSizes] | None = None,
    policy: Path = ACCESS_POLICY,
) -> pa.Table:
    """Return the calls that the actions cause, by time.

    Args:
        timeline: from `CustomerModel.timeline`, all of one run of the bank.
        start: the time of its second 0.
        seed: chance of sizes and durations.
        speed: model seconds per second, as the load generator's.
        postgres: whether the ledger's connections to its database are written as well.
        sessions: whether each call carries its session and transaction, and each customer's the
            address of the device, as where tokens are checked.
        calibration: sizes and durations; by default those that come with the package.
        policy: where the services' SPIFFE IDs stand.
    """
    sizes = load_calibration() if calibration is None else calibration
    chance = np.random.default_rng([seed, 2])
    begin_ns = int(start.timestamp()) * _NS
    at_ns = begin_ns + (timeline.at_s / speed * _NS).astype(np.int64)
    columns = _Columns()
    course = _courses(timeline)
    signed_in = np.zeros(int(timeline.session.max(initial=-1)) + 1, dtype=np.int64)
    for (
        kind,
        courses,
    ) in COURSES.items():  # logins first: a session's other actions wait for its own
        for number, hops in enumerate(courses):
            rows = np.flatnonzero((timeline.kind == kind) & (course == number))
            session = timeline.session[rows]
            end = np.maximum(at_ns[rows], signed_in[session])
            for hop in hops:
                end = _write(columns, hop, end, rows, sizes, chance) + _PAUSE_NS
            if kind is Kind.LOGIN:
                signed_in[session] = end
    if len(timeline):
        span_ns = int(at_ns.max()) - begin_ns
        fetched = begin_ns + np.arange(0, span_ns + 1, int(REFRESH_S) * _NS)
        _write(columns, KEYS_HOP, fetched, np.full(len(fetched), _NO_ACTION), sizes, chance)
    given = _bindings(columns, timeline) if sessions else {}
    identities = load_identities(policy)
    given["rule"] = _names(_rules(columns.hops, policy), columns.rows)
    table = _table(columns, identities, given)
    if postgres:
        table = pa.concat_tables([table, _connections(table, identities)], promote_options="none")
    return table.sort_by("time")


def _rules(hops: list[Hop], policy: Path) -> list[str | None]:
    """Return the rule that allows each hop, with a token where it needs one; None: none has to."""
    parsed = parse_policy(load_document(policy))
    return [_rule(parsed, hop) for hop in hops]


def _rule(policy: AccessPolicy, hop: Hop) -> str | None:
    source, destination = policy.services.get(hop.source), policy.services.get(hop.destination)
    if source is None or destination is None:
        return None
    demanded = [rule.token.scopes for rule in destination.accepts if rule.token]
    claims = {"scope": " ".join(chain.from_iterable(demanded)), "req_wl": str(source.identity)}
    request = HttpRequest(
        source=source.identity,
        destination=destination.identity,
        method=hop.method,
        path=hop.route.replace("{}", "x"),
    )
    return decide(policy, request, claims).rule


@cache
def load_identities(policy: Path) -> dict[str, str]:
    """Return each service's SPIFFE ID by its name, as the policy has them."""
    services = load_document(policy).mapping()["services"].mapping()
    return {name: node.mapping()["identity"].text() for name, node in services.items()}


def _courses(timeline: Timeline) -> Ints:
    """Return the number, in COURSES, of the course that each action takes."""
    large = timeline.amount_minor >= STEP_UP_MINOR
    instalment = timeline.amount_minor / timeline.months
    approved = (instalment <= INSTALMENT_SHARE * timeline.income_minor) & (
        timeline.amount_minor <= INCOMES * timeline.income_minor
    )
    by_kind: dict[Kind, Ints | Bools] = {
        Kind.LOGIN: timeline.device != HOME,
        Kind.TRANSFER: large + 2 * timeline.marked,
        Kind.CARD_PAYMENT: timeline.marked,
        Kind.CREDIT: approved,
    }
    course = np.zeros(len(timeline), dtype=np.int64)
    for kind, number in by_kind.items():
        course = np.where(timeline.kind == kind, number, course)
    return course


def _write(
    columns: _Columns, hop: Hop, begin: Ints, action: Ints, sizes: Mapping[str, HopSizes],
    chance: np.random.Generator,
) -> Ints:  # fmt: skip
    """Write one hop and all below it, and return when each ended.

    A hop's own time is cut into equal parts, before, between and after the calls that it waits for.
    """
    size = sizes[hop.key]
    own = draw(size.own_ns, chance.random(len(begin)))
    part = own // (len(hop.causes) + 1)
    end = begin + part
    for cause in hop.causes:
        end = _write(columns, cause, end, action, sizes, chance) + part
    columns.hops.append(hop)
    columns.rows.append(len(begin))
    columns.time.append(begin)
    columns.request_bytes.append(draw(size.request_bytes, chance.random(len(begin))))
    columns.response_bytes.append(draw(size.response_bytes, chance.random(len(begin))))
    columns.duration.append(end - begin)
    columns.action.append(action)
    return end


def _bindings(columns: _Columns, timeline: Timeline) -> dict[str, pa.Array]:
    """Return the columns that say on whose behalf a call is made, and from which device."""
    action = _joined(columns.action)
    none = action == _NO_ACTION
    outer = np.repeat([hop.source == CUSTOMERS for hop in columns.hops], columns.rows)
    device = timeline.customer * _DEVICES + timeline.device

    def _named(prefix: str, numbers: Ints, unknown: Bools) -> pa.Array:
        values, place = np.unique(numbers, return_inverse=True)
        names = pa.array([f"{prefix}{value:x}" for value in values.tolist()])
        return pa.DictionaryArray.from_arrays(
            pa.array(place.astype(np.int32), mask=unknown), names
        ).cast(pa.string())

    return {
        "session": _named("session-", timeline.session[action], none),
        "transaction": _named("txn-", action, none | outer),
        "source_instance": _named("device-", device[action], none | ~outer),
    }


def _table(
    columns: _Columns, identities: dict[str, str], bindings: dict[str, pa.Array]
) -> pa.Table:
    hops, rows = columns.hops, columns.rows
    total = sum(rows)
    inner = [hop.source in identities and hop.destination in identities for hop in hops]
    given: dict[str, pa.Array] = {
        "time": pa.array(_joined(columns.time)).cast(CALL_SCHEMA.field("time").type),
        "source": _names([identities.get(hop.source, hop.source) for hop in hops], rows),
        "destination": _names(
            [identities.get(hop.destination, hop.destination) for hop in hops], rows
        ),
        "protocol": _names(["http"] * len(hops), rows),
        "method": _names([hop.method for hop in hops], rows),
        "route": _names([hop.route for hop in hops], rows),
        "status": pa.array(np.repeat([hop.status for hop in hops], rows), type=pa.int16()),
        "request_bytes": pa.array(_joined(columns.request_bytes)),
        "response_bytes": pa.array(_joined(columns.response_bytes)),
        "duration": pa.array(_joined(columns.duration)).cast(pa.duration("ns")),
        "mtls": pa.array(np.repeat(inner, rows)),
        "reporter": _names(
            ["destination" if hop.destination in identities else "source" for hop in hops], rows
        ),
    }
    return _complete(given | bindings, total)


def _connections(table: pa.Table, identities: dict[str, str]) -> pa.Table:
    """Return the ledger's connections to its database: each ends after so many queries."""
    ledger = pc.equal(table["destination"].cast(pa.string()), identities["ledger"])
    asked = np.sort(table.filter(ledger)["time"].cast(pa.int64()).to_numpy(zero_copy_only=False))
    each = round(QUERIES_PER_CONNECTION / _QUERIES_PER_CALL)
    begins, ends = asked[::each][:-1], asked[::each][1:]
    rows = len(begins)
    to_server, from_server = (QUERIES_PER_CONNECTION * size for size in _QUERY_BYTES)
    given: dict[str, pa.Array] = {
        "time": pa.array(begins).cast(CALL_SCHEMA.field("time").type),
        "source": _names([identities["ledger"]], [rows]),
        "destination": _names([identities["ledger-db"]], [rows]),
        "destination_port": pa.array(np.full(rows, 5432), type=pa.int32()),
        "protocol": _names(["tcp"], [rows]),
        "rule": _names(["ledger-db.accepts[0]"], [rows]),
        "request_bytes": pa.array(np.full(rows, to_server)),
        "response_bytes": pa.array(np.full(rows, from_server)),
        "duration": pa.array(ends - begins).cast(pa.duration("ns")),
        "mtls": pa.array(np.full(rows, fill_value=True)),
        "reporter": _names(["destination"], [rows]),
    }
    return _complete(given, rows)


def _complete(given: dict[str, pa.Array], rows: int) -> pa.Table:
    """Return the table with every column that was not given empty, and nothing denied."""
    given["denied"] = pa.array(np.zeros(rows, dtype=np.bool_))
    arrays: Iterator[Any] = (
        given[column.name].cast(column.type)
        if column.name in given
        else pa.nulls(rows, type=column.type)
        for column in CALL_SCHEMA
    )
    return pa.Table.from_arrays(list(arrays), schema=CALL_SCHEMA)


def _names(names: Sequence[str | None], rows: list[int]) -> pa.DictionaryArray:
    """Return each name repeated as often as its rows say, as a dictionary column."""
    known = sorted({name for name in names if name is not None})
    places = [len(known) if name is None else known.index(name) for name in names]
    indices = np.repeat(places, rows).astype(np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, mask=indices == len(known)), pa.array(known, pa.string())
    )


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
