"""A replay as text for a terminal, and as Markdown for a pull request."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from meshwarden.policy.model import AccessPolicy
from meshwarden.policy.reach.render import code
from meshwarden.policy.traffic.judge import Verdict
from meshwarden.policy.traffic.observed import Observed, spiffe_id
from meshwarden.policy.traffic.replay import Replay, ReplayRow

MAX_ROWS: Final = 200


def render_replay(replay: Replay) -> str:
    """Return the outcome as text, most calls first."""
    lines = [summary_text(replay)]
    for rows, title in _parts(replay):
        if rows:
            lines.append(f"{title}: {_calls(rows)} calls ({replay.share_of(rows):.2%})")
            for row in rows[:MAX_ROWS]:
                lines.append(f"  {_line(replay.candidate, row)}")
                lines += [f"      to allow it: {row.fix}"] if row.fix else []
            lines += [f"  … and {len(rows) - MAX_ROWS} more"] if len(rows) > MAX_ROWS else []
    return "\n".join(lines)


def render_replay_markdown(replay: Replay) -> str:
    """Return the outcome as a section of a pull request."""
    lines = ["### Access policy: recorded calls replayed", "", summary_text(replay), ""]
    for rows, title in _parts(replay):
        if rows:
            share = replay.share_of(rows)
            lines += [f"#### {title[0].upper()}{title[1:]}: {_calls(rows)} calls ({share:.2%})", ""]
            lines += [
                "| caller | callee | what | calls | first seen | last seen | why, and the fix |"
            ]
            lines += ["|---|---|---|--:|---|---|---|", *_rows(replay.candidate, rows), ""]
            if len(rows) > MAX_ROWS:
                lines += [f"… and {len(rows) - MAX_ROWS} more", ""]
    return "\n".join(lines)


def summary_text(replay: Replay) -> str:
    """Return one sentence: how many calls, and what became of them."""
    if not replay.calls:
        return "No calls were recorded: nothing is known of what the policy would refuse."
    counts = ", ".join(f"{replay.verdicts[verdict]} {verdict}" for verdict in Verdict)
    reasons = "; ".join(f"{count} {why}" for why, count in replay.not_judged.most_common())
    return f"{replay.calls} calls: {counts}" + (f" ({reasons})" if reasons else "")


def _parts(replay: Replay) -> tuple[tuple[list[ReplayRow], str], ...]:
    return (
        (replay.newly_refused, "would have been refused"),
        (replay.newly_allowed, "would newly have been allowed"),
        (replay.undecided, "not decided by the record"),
    )


def _calls(rows: Sequence[ReplayRow]) -> int:
    return sum(row.seen.count for row in rows)


def _line(policy: AccessPolicy, row: ReplayRow) -> str:
    seen = row.seen
    source, destination = party_text(policy, seen.source), party_text(policy, seen.destination)
    span = f"{moment(seen.first)} to {moment(seen.last)}"
    return (
        f"{source} -> {destination} {what_text(seen)}: {seen.count} calls, {span};"
        f" {row.judgement.why}"
    )


def _rows(policy: AccessPolicy, rows: Sequence[ReplayRow]) -> Iterator[str]:
    for row in rows[:MAX_ROWS]:
        seen = row.seen
        why = row.judgement.why + (f"; {code(row.fix)}" if row.fix else "")
        cells = [
            code(party_text(policy, seen.source)),
            code(party_text(policy, seen.destination)),
            code(what_text(seen)),
            str(seen.count),
            moment(seen.first),
            moment(seen.last),
            why,
        ]
        yield "| " + " | ".join(cells) + " |"


def party_text(policy: AccessPolicy, party: str) -> str:
    """Return a recorded party as an author calls it."""
    identity = spiffe_id(party)
    text = party if identity is None else policy.name_of(identity)
    return "".join(char if char.isprintable() else "�" for char in text)


def what_text(seen: Observed) -> str:
    """Return what was asked for, with nothing that could move a cursor."""
    text = f"{seen.method or 'any method'} {seen.route}" if seen.route else f"port {seen.port}"
    return "".join(char if char.isprintable() else "�" for char in text)


def moment(time_ns: int) -> str:
    """Return a time as RFC 3339, to the second.

    >>> moment(1_700_000_000_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    found = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return found.isoformat(timespec="seconds").replace("+00:00", "Z")
