"""`meshwarden policy replay`: which recorded calls a candidate policy would have refused."""

import sys
from pathlib import Path
from typing import Any

from meshwarden.cli.policy_shared import (
    Calls,
    Json,
    Markdown,
    load_policy,
    print_json,
    say_rejected,
    usage_error,
)
from meshwarden.control.traffic import read_traffic
from meshwarden.policy.traffic import Replay, ReplayRow, replay
from meshwarden.policy.traffic.render import moment, render_replay, render_replay_markdown


def replay_command(
    new: Path,
    *,
    calls: Calls,
    policy: Path | None = None,
    confirm: int = 0,
    markdown: Markdown = False,
    json: Json = False,
) -> int:
    """Say which recorded calls a candidate policy would have refused, or newly allowed.

    A recorded route has its identifiers replaced: where the policy allows some of the paths that it
    stands for, the call is not decided, and counted as such. Exit 0 where no call would fare
    otherwise, 1 where one would.

    Args:
        new: the candidate.
        calls: recorded calls: Parquet, CSV, gzipped CSV, or a folder of parts; may be repeated.
        policy: compare with this policy, instead of with what the record says was done.
        confirm: send so many requests like the recorded ones through a real Envoy that carries the
            candidate, and compare its answers with the verdicts.
        markdown: print a section for a pull request.
        json: print one JSON object.
    """
    if markdown and json:
        raise usage_error("arguments", "--markdown or --json, not both")
    if not 0 <= confirm <= 10_000:
        raise usage_error("--confirm", "from 0 to 10000")
    candidate = load_policy(new)
    before = None if policy is None else load_policy(policy)
    read = read_traffic(calls)
    say_rejected(read.rejected)
    read.require_calls()
    found = replay(read.traffic.observed(), candidate, before)
    agreed, differing = _confirm(found, confirm) if confirm else (0, ())
    if json:
        confirmed = {"agreed": agreed, "differing": list(differing)} if confirm else None
        print_json(replay_object(found) | {"confirmed": confirmed})
    else:
        print(render_replay_markdown(found) if markdown else render_replay(found))
        if confirm:
            print(f"confirmed by Envoy: {agreed} of {agreed + len(differing)}")
    for line in differing:
        print(f"meshwarden: Envoy answers otherwise: {line}", file=sys.stderr)
    return 1 if found.changed or differing else 0


def _confirm(found: Replay, most: int) -> tuple[int, tuple[str, ...]]:
    from meshwarden.control.traffic.confirm import confirm_replay  # noqa: PLC0415  # starts Envoy

    return confirm_replay(found, most)


def replay_object(found: Replay) -> dict[str, Any]:
    """Return the outcome as a JSON object; times RFC 3339, shares 0..1."""
    return {
        "calls": found.calls,
        "verdicts": {str(verdict): count for verdict, count in found.verdicts.items()},
        "not_judged": dict(found.not_judged),
        "newly_refused": _part(found, found.newly_refused),
        "newly_allowed": _part(found, found.newly_allowed),
        "undecided": _part(found, found.undecided),
    }


def _part(found: Replay, rows: list[ReplayRow]) -> dict[str, Any]:
    return {
        "calls": sum(row.seen.count for row in rows),
        "share": found.share_of(rows),
        "combinations": [_row(row) for row in rows],
    }


def _row(row: ReplayRow) -> dict[str, Any]:
    seen = row.seen
    return {
        "source": seen.source,
        "destination": seen.destination,
        "method": seen.method,
        "route": seen.route,
        "port": seen.port,
        "calls": seen.count,
        "first": moment(seen.first),
        "last": moment(seen.last),
        "rule": row.judgement.rule,
        "why": row.judgement.why,
        "fix": row.fix,
    }
