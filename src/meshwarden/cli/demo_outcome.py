"""What `meshwarden demo` prints: the outcome as text, or as one JSON object."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from meshwarden.cli.answer_text import answer_lines, answer_object
from meshwarden.cli.calls_text import rfc3339
from meshwarden.cli.findings_text import finding_object
from meshwarden.cli.framing_text import framing_lines, framing_object
from meshwarden.cli.replay_text import replay_lines, replay_object
from meshwarden.lab.demo import Outcome
from meshwarden.lab.history import History
from meshwarden.lab.step_up import StepUp
from meshwarden.lab.theft import Theft
from meshwarden.lab.timeline import AttackTimeline


def as_json(outcome: Outcome, history: History, evidence: Path | None) -> dict[str, Any]:
    """Return the outcome as `--json` prints it; `evidence` is where the archive is."""
    return (
        {
            "services": outcome.services,
            "isolated": outcome.isolated,
            "calls": outcome.calls,
            "mtls_share": outcome.mtls_share,
            "attempts": [
                {"name": attempt.name, "refused": attempt.refused, "by": attempt.by}
                for attempt in outcome.attempts
            ],
            "revocation_ms": outcome.theft.revocation_ms,
            "revocation": dataclasses.asdict(outcome.theft),
            "step_up": dataclasses.asdict(outcome.step_up),
            "chain": list(outcome.chain),
            "ledger_balanced": outcome.ledger_balanced,
            "customers": dataclasses.asdict(outcome.load.total)
            | {
                "late_s": round(outcome.load.late_s, 3),
                "failures": dict(outcome.load.failures.most_common()),
            },
            "history": dataclasses.asdict(history),
            "findings": [finding_object(finding) for finding in outcome.findings],
            "attempt_findings": [finding_object(finding) for finding in outcome.attempt_findings],
        }
        | (
            _attack_object(outcome.attack) | answer_object(outcome, evidence)
            if outcome.attack
            else {}
        )
        | ({"replays": [replay_object(one) for one in outcome.replays]} if outcome.replays else {})
        | (framing_object(outcome.framing) if outcome.framing else {})
    )


def _attack_object(told: AttackTimeline) -> dict[str, Any]:
    found = None
    if told.by is not None:
        after = told.found_after_ms
        found = {"after_ms": after, "calls": told.calls, "octets": told.octets,
                 "sentence": told.by.sentence, "code": told.by.code}  # fmt: skip
    return {
        "attack": {"name": told.attack.name, "service": told.attack.service,
                   "technique": told.attack.technique, "steps": told.steps},
        "attack_started": _time(told.started),
        "first_malicious_call": _time(told.first_malicious_call),
        "found": _time(told.found),
        "attack_succeeded": told.succeeded is not None,
        "succeeded_at": _time(told.succeeded),
        "found_after": found,
        "target_shows": told.got,
    }  # fmt: skip


def _time(time: int | None) -> str | None:
    return None if time is None else rfc3339(time)


def as_text(outcome: Outcome, history: History, evidence: Path | None) -> str:
    """Return the outcome as text."""
    console = Console(file=sys.stdout, width=100, highlight=False)
    table = Table(title="what must fail", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("attempt", "outcome", "refused by", "the attacker saw"):
        table.add_column(column, overflow="fold")
    for attempt in outcome.attempts:
        table.add_row(
            attempt.name, "refused" if attempt.refused else "PASSED", attempt.by, attempt.saw
        )
    counts = outcome.load.total
    with console.capture() as text:
        if outcome.attack:
            lines = timeline_lines(outcome.attack, answer_lines(outcome.answer))
            console.print("\n".join(lines), soft_wrap=True)
            for line in replay_lines(outcome.replays):
                console.print(line, soft_wrap=True)
            if evidence is not None:
                console.print(f"  evidence      {evidence}", soft_wrap=True)
            console.print()
        if outcome.framing:
            console.print("\n".join(framing_lines(outcome.framing)), soft_wrap=True)
            console.print()
        console.print(table)
        console.print()
        apart = "each in a network and under a user of its own" if outcome.isolated else "loopback"
        console.print(f"services         {outcome.services}, {apart}")
        console.print(f"calls recorded   {outcome.calls:,}")
        console.print(f"mutual TLS       {outcome.mtls_share:.1%} of allowed calls in the mesh")
        console.print(f"customers        {counts.ok:,} served, {counts.failed} failed")
        for reason, times in outcome.load.failures.most_common(5):
            console.print(f"  {times} x {reason}", soft_wrap=True, markup=False)
        console.print(f"revocation       {_revocation(outcome.theft)}")
        console.print(f"step-up          {_step_up(outcome.step_up)}")
        console.print("one transfer, each hop under its transaction token")
        for hop in outcome.chain:
            console.print(f"  {hop}", soft_wrap=True)
        learned = f"{history.days:g} days, {history.calls:,} calls, in {history.seconds:.1f} s"
        console.print(f"learned before   {learned if history.days else 'nothing'}")
        about = f"{len(outcome.attempt_findings)} more about what must fail"
        console.print(f"findings         {len(outcome.findings)}, and {about}")
        for finding in outcome.findings:
            console.print(f"  {finding.sentence}", soft_wrap=True)
        console.print(f"ledger           {'balanced' if outcome.ledger_balanced else 'UNBALANCED'}")
    return text.get()


def _step_up(shown: StepUp) -> str:
    if not shown.passed:
        return f"NOT as it must be: {shown}"
    return (
        "a stolen session was asked for a second factor, and so was a new device, which had it;"
        " a large transfer was refused deep inside until the second factor was shown at the edge;"
        f" revoked, the session was refused after {shown.revoked_ms:.0f} ms"
    )


def _revocation(theft: Theft) -> str:
    if theft.revocation_ms is None or not theft.cut_off:
        return "the holder of a stolen SVID of payments was NOT cut off"
    return (
        f"stolen SVID of payments refused everywhere after {theft.revocation_ms:.0f} ms;"
        " payments went on"
    )


def timeline_lines(
    told: AttackTimeline, answered: Sequence[tuple[int | None, str]] = ()
) -> list[str]:
    """Return the attack's story, one line an event, by time where it has one."""
    attack = told.attack
    lines = [
        (told.started, f"{attack.name} began: a process in {attack.service} {attack.summary}"),
        (told.first_malicious_call, "first malicious call in the record"),
    ]
    if told.by is None:
        lines.append((None, f"NOT FOUND, after {told.calls} steps and {told.octets:,} octets"))
    else:
        after = f" {told.found_after_ms:,.0f} ms" if told.found_after_ms is not None else ""
        lines += [
            (told.found, f"found after{after}, {told.calls} calls, {told.octets:,} octets:"),
            (told.found, f"  {told.by.sentence}"),
        ]
    judged = "succeeded" if told.succeeded else "did not succeed"
    lines += answered
    lines.append((told.succeeded, f"{judged}: goal: {attack.goal}; {told.got}"))
    timed = sorted((line for line in lines if line[0] is not None), key=lambda line: line[0] or 0)
    untimed = [line for line in lines if line[0] is None]
    return ["timeline"] + [f"  {_clock(time)}  {text}" for time, text in [*timed, *untimed]]


def _clock(time: int | None) -> str:
    """Return the time of day with milliseconds."""
    return " " * 12 if time is None else rfc3339(time)[11:23]
