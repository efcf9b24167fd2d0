"""The report as GitHub workflow commands: annotations on the lines of a pull request."""

from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.model import GateFinding, Problem, Report
from meshwarden.policy.gate.render.texts import printable, summary

LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "notice",
}


def render_github(report: Report) -> str:
    """Return one command for each finding and problem, then the summary."""
    lines = [_finding(one) for one in report.counted] + [_problem(one) for one in report.problems]
    return "\n".join([*lines, summary(report)]) + "\n"


def _finding(finding: GateFinding) -> str:
    fields = f"file={_value(finding.source)},line={finding.line},col={finding.column}"
    title = _value(f"{finding.severity}: {finding.rule}")
    text = _text(f"{finding.message}. Fix: {finding.fix}" if finding.fix else finding.message)
    return f"::{LEVELS[finding.severity]} {fields},title={title}::{text}"


def _problem(problem: Problem) -> str:
    fields = f"file={_value(problem.source)},line={problem.line},title={_value('not judged')}"
    return f"::error {fields}::{_text(problem.message)}"


def _text(text: str) -> str:
    """Escape as actions/toolkit does (command.ts, escapeData)."""
    return printable(text.replace("\n", " ")).replace("%", "%25")


def _value(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
