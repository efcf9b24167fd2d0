"""What a proposed access policy changes, as findings: new reach, lost reach, calls it would refuse.

So a pull request shows them in whatever format the gate reports, at the lines that cause them.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from meshwarden.kernel import SpiffeId
from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.baseline import fingerprint
from meshwarden.policy.gate.model import GateFinding
from meshwarden.policy.model import AccessPolicy
from meshwarden.policy.reach import Change, ChangeKind, PolicyDiff
from meshwarden.policy.reach.render import example_text, parties, reach_text
from meshwarden.policy.traffic import Replay, ReplayRow
from meshwarden.policy.traffic.observed import spiffe_id
from meshwarden.policy.traffic.render import moment, party_text, what_text

NEW_REACH: Final = "access-policy/new-reach"
LOST_REACH: Final = "access-policy/lost-reach"
REFUSES_CALLS: Final = "access-policy/refuses-calls"
ALLOWS_CALLS: Final = "access-policy/allows-calls"
UNDECIDED: Final = "access-policy/undecided-calls"
UNREAD: Final = "access-policy/unread-calls"

_BORDER: Final = frozenset({ChangeKind.EGRESS, ChangeKind.EDGE})


def reach_findings(diff: PolicyDiff, source: str) -> Iterator[GateFinding]:
    """Yield a finding for each change: high across the mesh's border, else medium; lost ones low.

    Args:
        diff: the policy before, and the proposed one.
        source: the file of the proposed one.
    """
    for change in diff.changes:
        what = f"{parties(diff.name_of, change)}: {reach_text(change)}"
        example = example_text(change)
        yield GateFinding(
            rule=NEW_REACH if change.gained else LOST_REACH,
            severity=_weight(change),
            message=f"{'newly' if change.gained else 'no longer'} allowed: {what}"
            + (f"; for example {example}" if example else ""),
            fix=_fix(change),
            source=source,
            line=_line(source, change.where if change.gained else _near(diff.new, change)),
            object=source,
            fingerprint=fingerprint(NEW_REACH if change.gained else LOST_REACH, source, what),
        )


def _weight(change: Change) -> Severity:
    if not change.gained:
        return Severity.LOW
    return Severity.HIGH if change.kind in _BORDER else Severity.MEDIUM


def _fix(change: Change) -> str:
    if not change.gained:
        return "replay recorded calls (--calls) to see who needs it"
    return f"if it is not meant, narrow {change.rule}" if change.rule else "if not meant, remove it"


def _near(policy: AccessPolicy, change: Change) -> str:
    return _place(policy, change.destination or change.source)


def replay_findings(replay: Replay, source: str) -> Iterator[GateFinding]:
    """Yield a finding for each combination of recorded calls that would fare otherwise.

    What would be refused is high, what was refused and would pass is medium; one low finding says
    how many calls the record tells too little about.
    """
    for row in replay.newly_refused:
        yield _call_finding(replay, row, source, REFUSES_CALLS, Severity.HIGH)
    for row in replay.newly_allowed:
        yield _call_finding(replay, row, source, ALLOWS_CALLS, Severity.MEDIUM)
    if replay.undecided:
        count = sum(row.seen.count for row in replay.undecided)
        yield GateFinding(
            rule=UNDECIDED,
            severity=Severity.LOW,
            message=f"{count} recorded calls ({replay.share_of(replay.undecided):.2%})"
            " may be refused: the record does not tell which of the allowed paths they took",
            fix="`meshwarden policy replay` lists them",
            source=source,
            line=1,
            object=source,
            fingerprint=fingerprint(UNDECIDED, source, ""),
        )


def unread_finding(unread: Mapping[str, int], source: str) -> GateFinding:
    """Return the finding that rows of the record (by reason) could not be read as calls."""
    reasons = ", ".join(f"{count} {why}" for why, count in unread.items())
    return GateFinding(
        rule=UNREAD,
        severity=Severity.LOW,
        message=f"rows of the record that say nothing of the policy: {reasons}",
        fix="correct the record, or the command that exports it",
        source=source,
        line=1,
        object=source,
        fingerprint=fingerprint(UNREAD, source, ""),
    )


def _call_finding(
    replay: Replay, row: ReplayRow, source: str, rule: str, severity: Severity
) -> GateFinding:
    policy, seen = replay.candidate, row.seen
    caller, callee = party_text(policy, seen.source), party_text(policy, seen.destination)
    what = f"{caller} -> {callee} {what_text(seen)}"
    effect = "would be refused" if rule == REFUSES_CALLS else "were refused, and would pass"
    return GateFinding(
        rule=rule,
        severity=severity,
        message=f"{seen.count} recorded calls ({replay.share_of([row]):.2%}) {effect}: {what},"
        f" from {moment(seen.first)} to {moment(seen.last)}",
        fix=row.fix or row.judgement.why,
        source=source,
        line=_line(source, _place(policy, spiffe_id(seen.destination))),
        object=source,
        fingerprint=fingerprint(rule, source, what),
    )


def _place(policy: AccessPolicy, identity: SpiffeId | None) -> str:
    service = None if identity is None else policy.service_with(identity)
    return service.where if service else ""


def _line(source: str, where: str) -> int:
    """Return the line in `where` (`file:line`); 1 where it names none."""
    line = where.removeprefix(f"{source}:")
    return int(line) if line.isdigit() else 1
