"""What became of stolen tokens, by the record: where presented, refused by whom, and found.

One `Replay` for each token. Whether the binding alone refused it is the policy's own answer: it is
asked again with a token that the thief would have asked for himself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from meshwarden.kernel import Finding, SpiffeId
from meshwarden.lab.attacks.model import Loot
from meshwarden.lab.timeline import PRESENTED
from meshwarden.policy import AccessPolicy, HttpRequest, Rule, decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One stolen token, presented again and again.

    Attributes:
        destination: SPIFFE ID of whom it was presented to.
        method: HTTP method.
        route: as the record has it.
        rule: what would have let it pass, had the thief asked for it himself; None: nothing.
        bound: whether that rule demands just this.
        tried: how many calls the record has.
        refused: how many of them were refused.
        first: when the first began, nanoseconds since the epoch.
        found: when the finding about it was raised; None: it was not.
        sentence: of that finding.
    """

    destination: str
    method: str
    route: str
    rule: str | None
    bound: bool
    tried: int
    refused: int
    first: int
    found: int | None
    sentence: str | None

    @property
    def found_after_ms(self) -> float | None:
        """Milliseconds from the first replay until it was found."""
        return None if self.found is None else (self.found - self.first) / 1e6

    @property
    def useless(self) -> bool:
        """Whether it got the thief nothing where it must not: a rule that binds lets none pass."""
        return self.found is not None and (not self.bound or self.refused == self.tried)


def tell_replays(
    loot: Sequence[Loot],
    suspect: SpiffeId,
    policy: AccessPolicy,
    findings: Sequence[Finding],
    calls: pa.Table,
) -> tuple[Replay, ...]:
    """Return what became of each stolen token that was presented.

    Args:
        loot: the tokens.
        suspect: who presented them.
        policy: the one in force.
        findings: of the run, oldest first.
        calls: the record.
    """
    return tuple(
        found
        for one in loot
        for found in _replays(one, suspect, policy, _finding(findings, suspect, one), calls)
    )


def _replays(
    loot: Loot, suspect: SpiffeId, policy: AccessPolicy, finding: Finding | None, calls: pa.Table
) -> Iterator[Replay]:
    mine = pc.and_(
        pc.equal(calls["source"].cast(pa.string()), str(suspect)),
        pc.equal(calls["transaction"].cast(pa.string()), loot.claims["txn"]),
    )
    rows = _rows(calls.filter(pc.fill_null(mine, fill_value=False)))
    for place in dict.fromkeys((r["destination"], r["method"], r["route"]) for r in rows):
        own = [r for r in rows if (r["destination"], r["method"], r["route"]) == place]
        rule = _opened_by(policy, suspect, loot, *place)
        yield Replay(
            destination=place[0],
            method=place[1],
            route=place[2],
            rule=None if rule is None else rule.name,
            bound=rule is not None and rule.token is not None and rule.token.bound,
            tried=len(own),
            refused=sum(bool(r["denied"]) for r in own),
            first=min(r["time"] for r in own),
            found=None if finding is None else finding.time,
            sentence=None if finding is None else finding.sentence,
        )


def _rows(calls: pa.Table) -> list[dict[str, Any]]:
    """Return what is asked of calls here, times as nanoseconds."""
    names = ["destination", "method", "route", "denied"]
    times = calls["time"].cast(pa.int64()).to_pylist()
    told = zip(calls.select(names).to_pylist(), times, strict=True)
    return [row | {"time": time} for row, time in told]


def _finding(findings: Sequence[Finding], suspect: SpiffeId, loot: Loot) -> Finding | None:
    transaction = loot.claims["txn"]
    for one in findings:
        about = one.subject == str(suspect) and transaction in one.evidence
        if one.code == PRESENTED and about:
            return one
    return None


def _opened_by(
    policy: AccessPolicy, suspect: SpiffeId, loot: Loot, destination: str, method: str, route: str
) -> Rule | None:
    """Return the rule that a token of the thief's own would have opened."""
    callee = SpiffeId.parse(destination)
    path = route.replace("{}", "any")
    asked = HttpRequest(source=suspect, destination=callee, method=method, path=path)
    found = decide(policy, asked, loot.claims | {"req_wl": str(suspect)})
    service = policy.service_with(callee)
    rules = () if service is None else service.accepts
    return next((rule for rule in rules if found.allowed and rule.name == found.rule), None)
