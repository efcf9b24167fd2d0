"""What a candidate policy would have done to recorded calls, against what was done.

Without another policy, "before" is what the record says was done. A combination is newly refused
where it was allowed before and the candidate refuses it; undecided combinations are neither, they
are counted and shown.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from meshwarden.kernel import EXTERNAL
from meshwarden.policy.decide import decide
from meshwarden.policy.model import AccessPolicy, Connection, HttpRequest, TokenRequirement
from meshwarden.policy.traffic.judge import Judge, Judgement, Verdict
from meshwarden.policy.traffic.observed import Observed, spiffe_id
from meshwarden.policy.traffic.route import HIDDEN, example_path, parse_route


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRow:
    """One combination of calls and what the candidate says of it; `fix` would allow it."""

    seen: Observed
    judgement: Judgement
    fix: str | None = None


@dataclass(slots=True, kw_only=True)
class Replay:
    """The outcome.

    Attributes:
        candidate: the policy that was tried.
        calls: how many calls were asked about.
        verdicts: calls by the candidate's verdict.
        not_judged: calls that no policy decides, by reason.
        newly_refused: allowed before, refused by the candidate; most calls first.
        newly_allowed: refused before, allowed by the candidate.
        undecided: what the record tells too little about.
        judged: all combinations with a verdict, for a confirmation.
    """

    candidate: AccessPolicy
    calls: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    not_judged: Counter[str] = field(default_factory=Counter)
    newly_refused: list[ReplayRow] = field(default_factory=list)
    newly_allowed: list[ReplayRow] = field(default_factory=list)
    undecided: list[ReplayRow] = field(default_factory=list)
    judged: list[ReplayRow] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether some recorded call would fare otherwise."""
        return bool(self.newly_refused or self.newly_allowed)

    def share_of(self, rows: Iterable[ReplayRow]) -> float:
        """Return the share, 0..1, of the calls in `rows` among those that policy decides."""
        asked = self.calls - self.verdicts[Verdict.NOT_JUDGED]
        return sum(row.seen.count for row in rows) / asked if asked else 0.0


def replay(
    observed: Iterable[Observed], candidate: AccessPolicy, before: AccessPolicy | None = None
) -> Replay:
    """Return what `candidate` would have done to `observed`.

    Args:
        observed: recorded calls, summed.
        candidate: the policy to try.
        before: the policy in force; without it the record says what was allowed.
    """
    found = Replay(candidate=candidate)
    judge, earlier = Judge(candidate), None if before is None else Judge(before)
    for seen in observed:
        held = (earlier or judge).token_of(seen) if earlier else None
        judgement = judge.judge(seen, held)
        found.calls += seen.count
        found.verdicts[judgement.verdict] += seen.count
        if judgement.verdict is Verdict.NOT_JUDGED:
            found.not_judged[judgement.why] += seen.count
            continue
        _place(found, seen, judgement, allowed=_was_allowed(earlier, seen, held))
    for rows in (found.newly_refused, found.newly_allowed, found.undecided):
        rows.sort(key=lambda row: -row.seen.count)
    return found


def _was_allowed(earlier: Judge | None, seen: Observed, held: TokenRequirement | None) -> bool:
    if earlier is not None:
        verdict = earlier.judge(seen, held).verdict
        if verdict in {Verdict.ALLOWED, Verdict.REFUSED}:
            return verdict is Verdict.ALLOWED
    return not seen.denied


def _place(found: Replay, seen: Observed, judgement: Judgement, *, allowed: bool) -> None:
    row = ReplayRow(seen=seen, judgement=judgement)
    found.judged.append(row)
    if judgement.verdict is Verdict.UNDECIDED:
        found.undecided.append(row)
    elif judgement.verdict is Verdict.REFUSED and allowed:
        fix = _fix(found.candidate, seen)
        found.newly_refused.append(ReplayRow(seen=seen, judgement=judgement, fix=fix))
    elif judgement.verdict is Verdict.ALLOWED and not allowed:
        found.newly_allowed.append(row)


def _fix(policy: AccessPolicy, seen: Observed) -> str | None:
    asked = asked_of(seen, hidden=HIDDEN)
    if asked is None and not seen.destination.startswith(EXTERNAL):
        return None
    if asked is None:
        host, port = seen.destination.partition(":")[2], seen.port or "<port>"
        return f"add {{host: {host}, port: {port}}} to egress of {_name(policy, seen.source)}"
    return decide(policy, asked).fix


def _name(policy: AccessPolicy, party: str) -> str:
    identity = spiffe_id(party)
    return party if identity is None else policy.name_of(identity)


def asked_of(seen: Observed, *, hidden: str = "7") -> HttpRequest | Connection | None:
    """Return a request or connection as the recorded ones; None where they are neither.

    Args:
        seen: recorded calls.
        hidden: what stands for a segment that was not recorded. `HIDDEN` itself matches
            placeholders alone, and a fix that is made for it is a placeholder.
    """
    source, destination = spiffe_id(seen.source), spiffe_id(seen.destination)
    if source is None or destination is None:
        return None
    if seen.protocol == "tcp" and seen.route is None:
        if seen.port is None:
            return None
        return Connection(source=source, destination=destination, port=seen.port)
    route = parse_route(seen.route) if seen.route is not None else None
    if route is None or seen.method is None:
        return None
    path = example_path(route, hidden)
    return HttpRequest(source=source, destination=destination, method=seen.method, path=path)
