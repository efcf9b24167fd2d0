"""Pieces that several formats share."""

from collections import Counter
from typing import Final

from meshwarden.kernel.finding import Severity
from meshwarden.policy.gate.model import Report

DOWN: Final = tuple(reversed(Severity))
"""Severities, the gravest first."""


def printable(text: str) -> str:
    """Return `text` on one line, without what a terminal or a CI system would act upon."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def counts(report: Report) -> str:
    """Return `2 critical, 1 high`, or `no findings`."""
    found = Counter(finding.severity for finding in report.counted)
    parts = [f"{found[severity]} {severity}" for severity in DOWN if found[severity]]
    return ", ".join(parts) or "no findings"


def summary(report: Report) -> str:
    """Return one line on the whole run."""
    quiet = len(report.findings) - len(report.counted)
    parts = [f"{report.judged} objects judged by {len(report.rules)} rules: {counts(report)}"]
    if quiet:
        parts.append(f"{quiet} waived or in the baseline")
    if report.problems:
        parts.append(f"{len(report.problems)} could not be judged")
    if not report.judged:
        parts.append("nothing was judged")
    return "; ".join(parts)
