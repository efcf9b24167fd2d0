"""Do synthesized calls agree with recorded ones? A stated test with stated tolerances.

Three checks, each a statistic against a limit made of a margin (what difference does not matter)
and a term for chance that shrinks with the number of calls:

1. Which calls: the total variation distance between the shares of (source, destination, method,
   route, status); margin 0.03. Calls of one action come together, so chance counts actions, as
   calls divided by 5. A call with a share of 1 % on one side must occur on the other.
2. Sizes: per such call with at least 50 on both sides, the two-sample Kolmogorov-Smirnov distance
   of request and of response octets; margin 0.15, chance at the 1 % level.
3. Arrivals: the same distance between the gaps of what customers begin at the edge, each divided by
   its mean, so that speed cancels out; margin 0.10. Below a twentieth of the mean all gaps count
   as equal: there the machine decides, not the customers.

Only HTTP calls that policy allowed are compared: connections depend on the pool, refusals on
the attacker. Durations are left out: they tell of the machine.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.lab.callgraph import CUSTOMERS
from meshwarden.lab.customers import Floats, Ints

MIX_MARGIN: Final = 0.03
SIZE_MARGIN: Final = 0.15
ARRIVAL_MARGIN: Final = 0.10
_CALLS_PER_ACTION: Final = 5
_LEAST: Final = 50
_SHORTEST_GAP: Final = 0.05
_LEAST_SHARE: Final = 0.01
_KS_1_PERCENT: Final = 1.63
# What a login sends after its first request follows at once, at the machine's speed.
_FOLLOWS: Final = ("POST /idp/authorize", "POST /idp/token", "GET /idp/userinfo")
_IDENTIFIER: Final = re.compile(
    r"\{[^}]*\}|(?:[a-z]{3}-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One statistic and the most that it may be."""

    name: str
    statistic: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the two agree as far as this looks."""
        return self.statistic <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """All checks, and the calls that only one side knows although they are frequent."""

    checks: tuple[Check, ...]
    missing: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the two agree."""
        return not self.missing and all(check.passed for check in self.checks)

    def render(self) -> str:
        """Return what does not agree, one line each; empty where all does."""
        lines = [
            f"{check.name}: {check.statistic:.3f}, limit {check.limit:.3f}"
            for check in self.checks
            if not check.passed
        ]
        return "\n".join([*lines, *(f"only on one side: {key}" for key in self.missing)])


def compare(recorded: pa.Table, synthesized: pa.Table) -> Agreement:
    """Return how two tables of CALL_SCHEMA agree; ValueError where one has no call to compare."""
    one, other = _comparable(recorded), _comparable(synthesized)
    one_keys, other_keys = hop_keys(one), hop_keys(other)
    if not len(one_keys) or not len(other_keys):
        raise ValueError("nothing to compare: one side has no allowed HTTP call")
    mix, missing = _compare_mix(one_keys, other_keys)
    sizes = [
        check
        for column in ("request_bytes", "response_bytes")
        for check in _compare_sizes(column, one, one_keys, other, other_keys)
    ]
    arrivals = _compare_arrivals(one, one_keys, other, other_keys)
    return Agreement(checks=(mix, *sizes, arrivals), missing=missing)


def hop_keys(calls: pa.Table) -> npt.NDArray[np.object_]:
    """Return for each call what `callgraph.Hop.key` says, whoever recorded it."""
    names = ("source", "destination", "method", "route", "status")
    grouped = calls.select(names).group_by(list(names)).aggregate([])
    keys = {tuple(row[n] for n in names): _key(row) for row in grouped.to_pylist()}
    columns = [calls[name].to_pylist() for name in names]
    return np.array([keys[row] for row in zip(*columns, strict=True)], dtype=object)


def normalize_route(route: str) -> str:
    """Return the path with identifiers (or their template names) as `{}`, and without its query.

    >>> normalize_route("/v1/accounts/{id}/balance?x=1")
    '/v1/accounts/{}/balance'
    """
    return _IDENTIFIER.sub("{}", route.partition("?")[0])


def _key(row: dict[str, Any]) -> str:
    source, destination = party_name(row["source"]), party_name(row["destination"])
    if destination == "gateway":
        source = CUSTOMERS  # whatever address or name a record gives those outside
    route = normalize_route(row["route"] or "")
    return f"{source} {destination} {row['method']} {route} {row['status']}"


def party_name(name: str) -> str:
    """Return a service's name (the last segment of its SPIFFE ID), or the host outside."""
    if name.startswith("spiffe://"):
        return name.rpartition("/")[2]
    return re.sub(r":\d+$", "", name)


def _comparable(calls: pa.Table) -> pa.Table:
    wanted = pc.and_(
        pc.equal(calls["protocol"].cast(pa.string()), "http"), pc.invert(calls["denied"])
    )
    return calls.filter(wanted)


def _compare_mix(
    one: npt.NDArray[np.object_], other: npt.NDArray[np.object_]
) -> tuple[Check, tuple[str, ...]]:
    names = sorted({*one, *other})
    place = {name: index for index, name in enumerate(names)}
    shares = [
        np.bincount([place[key] for key in keys], minlength=len(names)) / len(keys)
        for keys in (one, other)
    ]
    statistic = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    both = (shares[0] * len(one) + shares[1] * len(other)) / (len(one) + len(other))
    actions = _CALLS_PER_ACTION * (1 / len(one) + 1 / len(other))
    chance = 0.5 * float(np.sqrt(2 / np.pi * both * (1 - both) * actions).sum())
    frequent = np.maximum(*shares) >= _LEAST_SHARE
    absent = np.minimum(*shares) == 0
    missing = tuple(name for name, gone in zip(names, frequent & absent, strict=True) if gone)
    return Check(name="mix", statistic=statistic, limit=MIX_MARGIN + chance), missing


def _compare_sizes(
    column: str, one: pa.Table, one_keys: npt.NDArray[np.object_],
    other: pa.Table, other_keys: npt.NDArray[np.object_],
) -> list[Check]:  # fmt: skip
    values = [table[column].fill_null(0).to_numpy(zero_copy_only=False) for table in (one, other)]
    checks = []
    for key in sorted({*one_keys} & {*other_keys}):
        samples = [
            value[keys == key] for value, keys in zip(values, (one_keys, other_keys), strict=True)
        ]
        if min(map(len, samples)) >= _LEAST:
            checks.append(_ks(f"{column} of {key}", *samples, margin=SIZE_MARGIN))
    return checks


def _compare_arrivals(
    one: pa.Table, one_keys: npt.NDArray[np.object_],
    other: pa.Table, other_keys: npt.NDArray[np.object_],
) -> Check:  # fmt: skip
    gaps = [_gaps(one, one_keys), _gaps(other, other_keys)]
    return _ks("gaps between arrivals", *gaps, margin=ARRIVAL_MARGIN)


def _gaps(calls: pa.Table, keys: npt.NDArray[np.object_]) -> Floats:
    begun = np.array(
        [key.startswith(f"{CUSTOMERS} ") and not any(f in key for f in _FOLLOWS) for key in keys]
    )
    times = calls["time"].cast(pa.int64()).to_numpy(zero_copy_only=False)[begun]
    gaps = np.diff(np.sort(times)).astype(np.float64)
    if len(gaps) < _LEAST:
        raise ValueError(f"nothing to compare: fewer than {_LEAST} requests at the edge")
    scaled: Floats = np.maximum(gaps / gaps.mean(), _SHORTEST_GAP)
    return scaled


def _ks(name: str, one: Floats | Ints, other: Floats | Ints, *, margin: float) -> Check:
    """Return the two-sample Kolmogorov-Smirnov distance, and its 1 % limit widened by `margin`."""
    points = np.sort(np.concatenate([one, other]))
    shares = [
        np.searchsorted(np.sort(sample), points, side="right") / len(sample)
        for sample in (one, other)
    ]
    statistic = float(np.abs(shares[0] - shares[1]).max())
    chance = _KS_1_PERCENT * float(np.sqrt(1 / len(one) + 1 / len(other)))
    return Check(name=name, statistic=statistic, limit=margin + chance)
