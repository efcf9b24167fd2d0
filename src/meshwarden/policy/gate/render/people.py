"""The report for people at a terminal: each finding with the lines that it is about."""

from collections.abc import Iterator

from meshwarden.policy.gate.model import GateFinding, Problem, Report
from meshwarden.policy.gate.render.texts import printable, summary


def render_text(report: Report) -> str:
    """Return the report as plain text."""
    lines: list[str] = []
    for finding in report.counted:
        lines += [*_finding(finding), ""]
    for problem in report.problems:
        lines.append(_problem(problem))
    lines += [f"note: {printable(one)}" for one in report.skipped]
    return "\n".join([*lines, summary(report)]) + "\n"


def _finding(finding: GateFinding) -> Iterator[str]:
    place = f"{printable(finding.source)}:{finding.line}:{finding.column}"
    yield f"{place}: {finding.severity}: {printable(finding.message)} [{finding.rule}]"
    if finding.object and finding.object != finding.source:
        yield f"  in {printable(finding.object)}"
    width = len(str(finding.frame[-1][0])) if finding.frame else 0
    for number, text in finding.frame:
        here = number == finding.line
        yield f"  {'>' if here else ' '} {number:>{width}} | {printable(text)}"
        if here:
            yield f"    {'':>{width}} | {'':>{finding.column - 1}}^"
    if finding.fix:
        yield f"  fix: {printable(finding.fix)}"


def _problem(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return printable(f"{problem.where}: not judged: {problem.message}{hint} [{problem.code}]")
