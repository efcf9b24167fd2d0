"""An exported finding has what OCSF requires of a Detection Finding."""

import json

import pytest

from meshwarden.adapters.ocsf import OCSF_VERSION, render_detection, uid_of
from meshwarden.kernel import Contribution, Finding, Severity

FOUND = Finding(
    time=1_795_449_725_123_456_789,
    code="behaviour.topology",
    subject="spiffe://bank.example/ns/core/sa/statements",
    severity=Severity.HIGH,
    sentence="statements called ledger POST /v1/entries for the first time",
    p_value=2e-7,
    contributions=(Contribution(name="new edge", weight=0.9),),
    technique="T1550.001@18.1",
    evidence=("call 1",),
)


def test_required_attributes_are_there_and_their_arithmetic_is_right() -> None:
    event = render_detection(FOUND)
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"] == 200401
    assert event["category_uid"] == 2
    assert event["time"] == 1_795_449_725_123
    assert event["severity_id"] == 4
    assert event["metadata"]["version"] == OCSF_VERSION
    assert event["metadata"]["product"]["name"] == "meshwarden"
    assert event["finding_info"]["uid"] == uid_of(FOUND)
    assert event["finding_info"]["analytic"]["type_id"] == 2
    json.dumps(event)


def test_a_sub_technique_stands_below_its_technique() -> None:
    [attack] = render_detection(FOUND)["finding_info"]["attacks"]
    assert attack == {
        "version": "18.1",
        "technique": {"uid": "T1550"},
        "sub_technique": {"uid": "T1550.001"},
    }


def test_what_a_finding_has_not_is_left_out() -> None:
    event = render_detection(
        Finding(time=0, code="dataplane.nack", subject="payments", severity=Severity.LOW,
                sentence="refused")
    )  # fmt: skip
    assert not {"confidence_id", "evidences", "unmapped"} & event.keys()
    assert "attacks" not in event["finding_info"]
    assert event["finding_info"]["analytic"]["type_id"] == 1


@pytest.mark.parametrize("severity", Severity)
def test_every_severity_has_its_number(severity: Severity) -> None:
    finding = Finding(time=0, code="a.b", subject="c", severity=severity, sentence="d")
    assert render_detection(finding)["severity_id"] in {2, 3, 4, 5}


def test_the_same_finding_has_the_same_uid_and_another_has_another() -> None:
    other = Finding(time=0, code="a.b", subject="c", severity=Severity.LOW, sentence="d")
    assert uid_of(FOUND) == uid_of(FOUND) != uid_of(other)
