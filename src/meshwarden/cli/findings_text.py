"""Findings as JSON objects and as lines."""

from dataclasses import asdict
from typing import Any

from meshwarden.cli.calls_text import printable, rfc3339
from meshwarden.kernel import Finding


def finding_object(finding: Finding) -> dict[str, Any]:
    """Return `finding` as one JSON object, its time as RFC 3339."""
    return asdict(finding) | {"time": rfc3339(finding.time)}


def finding_line(finding: Finding) -> str:
    """Return `finding` as one line."""
    strange = "" if finding.p_value is None else f"  p = {finding.p_value:.1g}"
    about = printable(finding.subject)
    return (
        f"{rfc3339(finding.time)[:23]}Z  {finding.severity:8}  {finding.code}  {about}{strange}\n"
        f"    {printable(finding.sentence)}"
    )
