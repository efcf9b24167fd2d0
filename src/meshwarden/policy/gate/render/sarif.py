"""The report as SARIF 2.1.0, for code scanning (OASIS SARIF 2.1.0 errata 01).

Critical and high are `error`, medium `warning`, low `note`. What could not be judged is a
notification of the invocation, which is then not successful. Suppressed findings stay in, with
their suppression, so that viewers close what was waived instead of losing it.
"""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.model import GateFinding, Problem, Report, Rule, Suppression

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
SCORES: Final = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.0",
    Severity.LOW: "2.0",
}
"""`security-severity`, by which GitHub sorts; the middle of the bands that it names."""


def render_sarif(report: Report) -> str:
    """Return the report as a SARIF log with one run."""
    rules = {rule.id: _rule(rule) for rule in report.rules}
    for finding in report.findings:
        rules.setdefault(finding.rule, _ruleless(finding))
    index = {name: number for number, name in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": "meshwarden gate", "rules": list(rules.values())}},
        "invocations": [
            {
                "executionSuccessful": not report.problems,
                "toolExecutionNotifications": [_notification(one) for one in report.problems],
            }
        ],
        "results": [_result(one, index) for one in report.findings],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.title},
        "help": {"text": rule.fix or rule.title, "markdown": rule.page or rule.title},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {
            "security-severity": SCORES[rule.severity],
            "tags": ["security", *rule.controls],
        },
    }


def _ruleless(finding: GateFinding) -> dict[str, Any]:
    return {
        "id": finding.rule,
        "shortDescription": {"text": finding.rule},
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
    }


def _result(finding: GateFinding, index: Mapping[str, int]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": LEVELS[finding.severity],
        "message": {
            "text": f"{finding.message}. Fix: {finding.fix}" if finding.fix else finding.message
        },
        "locations": [
            {
                "physicalLocation": _location(finding.source, finding.line, finding.column),
                "logicalLocations": [{"fullyQualifiedName": finding.object or finding.source}],
            }
        ],
        "partialFingerprints": {"meshwarden/v1": finding.fingerprint},
    }
    if finding.suppressed is not None:
        kind = "inSource" if finding.suppressed is Suppression.INLINE else "external"
        why = finding.reason or finding.suppressed.value
        result["suppressions"] = [{"kind": kind, "justification": why}]
    return result


def _location(source: str, line: int, column: int | None = None) -> dict[str, Any]:
    region = {"startLine": line} if column is None else {"startLine": line, "startColumn": column}
    uri = "stdin" if source == "-" else quote(source.removeprefix("./"))
    return {"artifactLocation": {"uri": uri}, "region": region}


def _notification(problem: Problem) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": problem.message},
        "descriptor": {"id": problem.code},
        "locations": [{"physicalLocation": _location(problem.source, problem.line)}],
    }
