"""Renders a `Finding` as an OCSF Detection Finding (class 2004, schema 1.8.0). Pure.

Required attributes are all present; recommended ones where the finding has them. The `uid` is made
of the finding itself, so that whoever gets an event twice can tell.
"""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final

from meshwarden.kernel import EXTERNAL, Finding, Severity

OCSF_VERSION: Final = "1.8.0"
_PRODUCT_VERSION: Final = version("meshwarden")
_CLASS: Final = 2004
_CREATE: Final = 1
_SEVERITY: Final = {Severity.LOW: 2, Severity.MEDIUM: 3, Severity.HIGH: 4, Severity.CRITICAL: 5}
_NEW: Final = 1
_RULE, _BEHAVIORAL = 1, 2
_SURE: Final = 1e-6  # p-values below count as high confidence


def uid_of(finding: Finding) -> str:
    """Return the stable id of `finding`: the same for the same content."""
    text = json.dumps(asdict(finding), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def render_detection(finding: Finding) -> dict[str, Any]:
    """Return `finding` as one OCSF event, ready for JSON."""
    event: dict[str, Any] = {
        "activity_id": _CREATE,
        "category_uid": _CLASS // 1000,
        "class_uid": _CLASS,
        "type_uid": _CLASS * 100 + _CREATE,
        "severity_id": _SEVERITY[finding.severity],
        "severity": finding.severity.capitalize(),
        "status_id": _NEW,
        "is_alert": True,
        "time": finding.time // 1_000_000,
        "message": finding.sentence,
        "metadata": {
            "version": OCSF_VERSION,
            "product": {
                "name": "meshwarden", "vendor_name": "meshwarden", "version": _PRODUCT_VERSION,
            },
        },
        "finding_info": _info(finding),
        "resources": [_resource(finding.subject)],
    }  # fmt: skip
    if finding.p_value is not None:
        event["confidence_id"] = 3 if finding.p_value <= _SURE else 2
    if finding.evidence:
        event["evidences"] = [{"data": {"evidence": list(finding.evidence)}}]
    measured = {"p_value": finding.p_value} if finding.p_value is not None else {}
    shares = {part.name: part.weight for part in finding.contributions}
    if measured or shares:
        event["unmapped"] = measured | ({"contributions": shares} if shares else {})
    return event


def _info(finding: Finding) -> dict[str, Any]:
    kind = _BEHAVIORAL if finding.code.startswith("behaviour.") else _RULE
    info: dict[str, Any] = {
        "uid": uid_of(finding),
        "title": finding.code,
        "desc": finding.sentence,
        "created_time": finding.time // 1_000_000,
        "analytic": {"type_id": kind, "name": finding.code},
    }
    if finding.technique:
        uid, _, version = finding.technique.partition("@")
        technique = {"technique": {"uid": uid}}
        if "." in uid:
            technique = {
                "technique": {"uid": uid.partition(".")[0]}, "sub_technique": {"uid": uid},
            }  # fmt: skip
        info["attacks"] = [technique | ({"version": version} if version else {})]
    return info


def _resource(subject: str) -> dict[str, str]:
    if subject.startswith("spiffe://"):
        return {"uid": subject, "name": subject.rpartition("/")[2], "type": "Workload identity"}
    kind = "External host" if subject.startswith(EXTERNAL) else "Component"
    return {"uid": subject, "name": subject, "type": kind}
