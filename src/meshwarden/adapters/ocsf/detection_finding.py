"""`Finding` to OCSF Detection Finding (class 2004, OCSF 1.8.0), pure translation.

A finding's uid is a hash of what it says, so that the same finding keeps its uid wherever it goes.
"""

import hashlib
import json
from typing import Any, Final

from meshwarden.kernel import Finding, Severity

_VERSION: Final = "1.8.0"
_SEVERITY: Final = {Severity.LOW: 2, Severity.MEDIUM: 3, Severity.HIGH: 4, Severity.CRITICAL: 5}


def render_detection_finding(finding: Finding, *, product_version: str) -> dict[str, Any]:
    """Return the finding as an OCSF object: JSON values only."""
    about = f"{finding.time}|{finding.code}|{finding.subject}|{finding.sentence}"
    record: dict[str, Any] = {
        "activity_id": 1,
        "category_uid": 2,
        "class_uid": 2004,
        "type_uid": 200401,
        "severity_id": _SEVERITY[finding.severity],
        "status_id": 1,
        "is_alert": True,
        "time": finding.time // 1_000_000,
        "message": finding.sentence,
        "metadata": {
            "version": _VERSION,
            "product": {
                "name": "meshwarden",
                "vendor_name": "meshwarden",
                "version": product_version,
            },
        },
        "finding_info": {
            "uid": hashlib.sha256(about.encode()).hexdigest()[:32],
            "title": finding.code,
            "desc": finding.sentence,
            "analytic": {"type_id": 2, "name": finding.code},
        },
        "evidences": [
            {"src_endpoint": {"svc_name": finding.subject}, "data": {"text": each}}
            for each in finding.evidence
        ],
        "resources": [{"uid": finding.subject, "type": "Workload identity"}],
    }
    if finding.technique is not None:
        technique, _, version = finding.technique.partition("@")
        record["finding_info"]["attacks"] = [{"version": version, "technique": {"uid": technique}}]
    if finding.contributions:
        record["anomaly_analyses"] = [_analysis(finding)]
    return record


def render_lines(findings: tuple[Finding, ...], *, product_version: str) -> str:
    """Return one line of JSON for each finding."""
    records = (render_detection_finding(f, product_version=product_version) for f in findings)
    return "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in records)


def _analysis(finding: Finding) -> dict[str, Any]:
    return {
        "analysis_targets": [{"name": finding.subject, "type": "Workload identity"}],
        "anomalies": [
            {
                "observation_parameter": each.name,
                "observations": [{"value": f"{each.weight:.3f}"}],
            }
            for each in finding.contributions
        ],
    }
