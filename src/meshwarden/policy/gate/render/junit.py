"""The report as JUnit XML: one test case for each file and rule that found something in it."""

from html import escape

from meshwarden.policy.gate.model import GateFinding, Problem, Report
from meshwarden.policy.gate.render.texts import printable


def render_junit(report: Report) -> str:
    """Return the report as a `testsuites` document; waived findings are skipped cases."""
    cases = [_case(one) for one in report.findings] + [_error(one) for one in report.problems]
    if not cases:
        cases = ['  <testcase name="all manifests" classname="meshwarden.gate"/>']
    counted, errors = len(report.counted), len(report.problems)
    skipped = len(report.findings) - counted
    attributes = (
        f'name="meshwarden gate" tests="{len(cases)}" failures="{counted}" errors="{errors}"'
        f' skipped="{skipped}"'
    )
    body = "\n".join(cases)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n <testsuite {attributes}>\n'
        f"{body}\n </testsuite>\n</testsuites>\n"
    )


def _case(finding: GateFinding) -> str:
    place = f"{finding.source}:{finding.line}"
    head = _head(f"{finding.rule} {place}", finding.source)
    if finding.suppressed is not None:
        why = finding.reason or finding.suppressed.value
        return f"{head}<skipped message={_attribute(why)}/></testcase>"
    text = escape(printable(f"{place}: {finding.message}. Fix: {finding.fix}"))
    kind, message = _attribute(finding.severity), _attribute(finding.message)
    return f"{head}<failure type={kind} message={message}>{text}</failure></testcase>"


def _error(problem: Problem) -> str:
    head = _head(f"{problem.code} {problem.where}", problem.source)
    return f"{head}<error message={_attribute(problem.message)}/></testcase>"


def _head(name: str, source: str) -> str:
    return f"  <testcase name={_attribute(name)} classname={_attribute(source)}>"


def _attribute(text: str) -> str:
    return f'"{escape(printable(text))}"'
