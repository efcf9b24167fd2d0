"""`meshwarden policy learn`: the least policy that allows what was recorded."""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from meshwarden.cli.policy_shared import Json, print_json, say_rejected, usage_error, write_text
from meshwarden.control.traffic import read_traffic
from meshwarden.control.traffic.learning import (
    Existing,
    Written,
    hold_out,
    learn_policy,
    load_existing,
    load_suspects,
)
from meshwarden.policy.traffic import Replay, Traffic, Verdict
from meshwarden.policy.traffic.learn_text import support_text
from meshwarden.policy.traffic.learned import LearnSettings
from meshwarden.policy.traffic.render import party_text, render_replay, what_text
from meshwarden.policy.traffic.templates import MIN_EXAMPLES

SHOWN = 20


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How much it takes to learn.

    Attributes:
        min_calls: leave out what fewer calls did.
        min_days: leave out what was seen on fewer days.
        min_examples: so many different identifiers make a placeholder.
        findings: findings (JSON lines); calls that they name as evidence teach nothing.
        unproven: learn also from callers whose identity was not proved by mutual TLS.
        trust_domain: of the services; by default that of most callees.
        holdout: learn also from all but this share (0..1) at the end of the period, and say which
            share of the later calls that policy would have allowed.
    """

    min_calls: int = 1
    min_days: int = 1
    min_examples: int = MIN_EXAMPLES
    findings: Path | None = None
    unproven: Annotated[bool, Parameter(negative="")] = False
    trust_domain: str | None = None
    holdout: float = 0.0


def learn(
    *calls: Path,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    merge: Path | None = None,
    evidence: Evidence | None = None,
    json: Json = False,
) -> int:
    """Write the least policy that allows the recorded calls, each rule with its evidence.

    Where the output exists, what was learned is added to it: rules, comments and order stay.

    Args:
        calls: Parquet, CSV, gzipped CSV, or a folder of parts.
        output: the policy file; without it the policy is printed.
        merge: add to this policy instead.
        evidence: how much it takes.
        json: print one JSON object.
    """
    asked = evidence or Evidence()
    if not 0 <= asked.holdout < 1:
        raise usage_error("--holdout", "a share from 0 to 1")
    if min(asked.min_calls, asked.min_days, asked.min_examples) < 1:
        raise usage_error("arguments", "--min-calls, --min-days and --min-examples are at least 1")
    existing = _existing(output, merge)
    suspects = load_suspects(asked.findings)
    settings = LearnSettings(
        trust_domain=asked.trust_domain,
        min_calls=asked.min_calls,
        min_days=asked.min_days,
        min_examples=asked.min_examples,
        unproven=asked.unproven,
        suspects=suspects,
    )
    read = read_traffic(calls, Traffic(without=suspects))
    say_rejected(read.rejected)
    written = learn_policy(read.traffic.observed(), settings, existing)
    held = hold_out(calls, asked.holdout, settings, suspects) if asked.holdout else None
    if output is not None:
        write_text(output, written.text)
    _say(written, read.traffic.left_out, held)
    if json:
        print_json(_object(written, read.traffic.left_out, held))
    elif output is None:
        print(written.text, end="")
    return 0


def _existing(output: Path | None, merge: Path | None) -> Existing | None:
    base = merge or (output if output is not None and output.exists() else None)
    return None if base is None else load_existing(base)


def _say(written: Written, behind_findings: int, held: Replay | None) -> None:
    """Say on stderr what was learned, what was not, and how well it holds."""
    learned = written.learned
    rules = sum(len(service.rules) for service in learned.services.values())
    lines = [
        f"{rules} rules learned from {support_text(learned.support)};"
        f" {learned.unseen_share:.2%} of further calls may do something unseen"
    ]
    if behind_findings:
        lines.append(f"left out: {behind_findings} calls of transactions that findings name")
    for seen, reason in learned.left_out[:SHOWN]:
        source = party_text(written.policy, seen.source)
        destination = party_text(written.policy, seen.destination)
        what = what_text(seen)
        lines.append(f"left out: {source} -> {destination} {what}, {seen.count} calls: {reason}")
    if len(learned.left_out) > SHOWN:
        lines.append(f"left out: {len(learned.left_out) - SHOWN} more combinations")
    if held is not None:
        lines.append(f"holdout: {_held_share(held):.2%} of the later calls would have been allowed")
        lines += render_replay(held).splitlines()[1:]
    print("\n".join(lines), file=sys.stderr)


def _held_share(held: Replay) -> float:
    asked = held.calls - held.verdicts[Verdict.NOT_JUDGED]
    return held.verdicts[Verdict.ALLOWED] / asked if asked else 1.0


def _object(written: Written, behind_findings: int, held: Replay | None) -> dict[str, Any]:
    learned = written.learned
    reasons: Counter[str] = Counter()
    for seen, reason in learned.left_out:
        reasons[reason] += seen.count
    return {
        "policy": written.text,
        "calls": learned.support.count,
        "days": len(learned.support.days),
        "rules": sum(len(service.rules) for service in learned.services.values()),
        "unseen_share": learned.unseen_share,
        "left_out": dict(reasons),
        "behind_findings": behind_findings,
        "holdout": None
        if held is None
        else {"calls": held.calls, "allowed_share": _held_share(held)},
    }
