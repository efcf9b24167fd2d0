"""The report as Markdown, for a comment on a pull request."""

from collections.abc import Iterator

from meshwarden.policy.gate.model import GateFinding, Report
from meshwarden.policy.gate.render.texts import DOWN, counts, printable, summary

MOST = 100
"""Findings that are listed; comments have a limit of 65,536 characters."""


def render_markdown(report: Report) -> str:
    """Return headline, table, what could not be judged, and what was waived."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"### meshwarden gate: {counts(report)}"
    yield ""
    yield summary(report) + "."
    found = sorted(report.counted, key=lambda one: DOWN.index(one.severity))
    if found:
        yield ""
        yield "| severity | where | what | fix |"
        yield "|---|---|---|---|"
        yield from map(_row, found[:MOST])
        if len(found) > MOST:
            yield ""
            yield f"and {len(found) - MOST} more."
    if report.problems:
        yield ""
        yield "Not judged:"
        yield ""
        yield from (f"- {_code(one.where)}: {_cell(one.message)}" for one in report.problems[:MOST])
    quiet = [one for one in report.findings if one.suppressed is not None]
    if quiet:
        yield ""
        yield f"<details><summary>{len(quiet)} waived or in the baseline</summary>"
        yield ""
        yield from (
            f"- {_code(one.rule)} {_code(one.object)}: {_cell(_why(one))}" for one in quiet[:MOST]
        )
        yield ""
        yield "</details>"


def _why(finding: GateFinding) -> str:
    return finding.reason or str(finding.suppressed)


def _row(finding: GateFinding) -> str:
    where = _code(f"{finding.source}:{finding.line}")
    what = f"{_cell(finding.message)} ({_code(finding.rule)})"
    return f"| {finding.severity} | {where} | {what} | {_cell(finding.fix)} |"


def _cell(text: str) -> str:
    clean = printable(text).replace("\\", "\\\\")
    for char in "|`*<>[]@":
        clean = clean.replace(char, f"&#{ord(char)};")
    return clean


def _code(text: str) -> str:
    return f"`{printable(text).replace('`', chr(39)).replace('|', '&#124;')}`"
