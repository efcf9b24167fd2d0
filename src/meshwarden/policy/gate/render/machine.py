"""The report as one JSON object; a line for each finding, by the fast encoder."""

import json
from collections import Counter
from typing import Any

from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.model import GateFinding, Problem, Report

_FIELDS = (
    "rule", "severity", "message", "fix", "source", "line", "column", "last_line", "object",
    "path", "fingerprint", "controls", "suppressed", "reason",
)  # fmt: skip


def render_json(report: Report) -> str:
    """Return `{"findings", "problems", "skipped", "judged", "summary"}`; see the reference."""
    found = Counter(finding.severity for finding in report.counted)
    rest = {
        "skipped": list(report.skipped),
        "judged": report.judged,
        "summary": {severity.value: found[severity] for severity in Severity},
    }
    findings = _lines([_finding(one) for one in report.findings])
    problems = _lines([_problem(one) for one in report.problems])
    tail = json.dumps(rest).removeprefix("{")
    return f'{{"findings": [{findings}],\n "problems": [{problems}],\n {tail}\n'


def _lines(entries: list[dict[str, Any]]) -> str:
    return ",".join(f"\n  {json.dumps(entry)}" for entry in entries)


def _finding(finding: GateFinding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in _FIELDS}


def _problem(problem: Problem) -> dict[str, Any]:
    fields = ("source", "line", "code", "message", "hint", "where")
    return {name: getattr(problem, name) for name in fields}
