"""The report as one JSON object."""

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.model import GateFinding, Report


def render_json(report: Report) -> str:
    """Return `{"findings", "problems", "skipped", "judged", "summary"}`; see the reference."""
    found = Counter(finding.severity for finding in report.counted)
    document = {
        "findings": [_finding(one) for one in report.findings],
        "problems": [{**asdict(one), "where": one.where} for one in report.problems],
        "skipped": list(report.skipped),
        "judged": report.judged,
        "summary": {severity.value: found[severity] for severity in Severity},
    }
    return json.dumps(document, indent=1) + "\n"


def _finding(finding: GateFinding) -> dict[str, Any]:
    fields = asdict(finding)
    del fields["frame"]
    return {**fields, "suppressed": finding.suppressed}
