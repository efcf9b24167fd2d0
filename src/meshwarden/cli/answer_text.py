"""What the bank did about an attack, as JSON values and as lines of the timeline."""

from datetime import datetime
from pathlib import Path
from typing import Any

from meshwarden.lab.answer import Answer
from meshwarden.lab.demo import Outcome


def answer_object(outcome: Outcome, evidence: Path | None) -> dict[str, Any]:
    """Return the response's part of `demo --json`; times are None where nothing was done."""
    answer, total = outcome.answer, outcome.load.total
    incident = answer.incident if answer else {}
    return {
        "contained": incident.get("contained"),
        "verified": incident.get("verified"),
        "replaced": answer.when("verified", "replace") if answer else None,
        "recovered": incident.get("recovered"),
        "evidence": None if evidence is None else str(evidence),
        "customer_requests": total.sent,
        "customer_failures": total.failed,
        "response": None if answer is None else _detail(answer),
    }


def _detail(answer: Answer) -> dict[str, Any]:
    incident = answer.incident
    keys = ("id", "state", "playbook", "probability", "phase", "steps")
    return {key: incident[key] for key in keys} | {
        "customers_during": {
            "requests": answer.fared.requests,
            "failures": answer.fared.failures,
        },
        "octets_after_contained": answer.octets_after,
        "evidence_verifies": answer.evidence_verifies,
    }


def answer_lines(answer: Answer | None) -> list[tuple[int | None, str]]:
    """Return what was done, each with its time in nanoseconds."""
    if answer is None:
        return []
    lines: list[tuple[int | None, str]] = [
        (_nanoseconds(entry["time"]), f"{entry['data']['action']}: {entry['data']['outcome']}")
        for entry in answer.incident["record"]
        if entry["kind"] in {"applied", "verified", "failed"}
    ]
    if answer.incident["recovered"]:
        lines.append((_nanoseconds(answer.incident["recovered"]), "recovered"))
    fared = answer.fared
    lines.append((None, f"customers meanwhile: {fared.requests} requests, {fared.failures} failed"))
    if answer.octets_after is not None:
        lines.append((None, f"octets that arrived after it was contained: {answer.octets_after}"))
    return lines


def _nanoseconds(text: str) -> int:
    whole, _, rest = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(rest or 0)
