"""When an attack was found: told from the intruder's steps, the record and the findings."""

import json

import pytest

from meshwarden.cli.demo import parse_days
from meshwarden.cli.demo_outcome import timeline_lines
from meshwarden.kernel import Call, ConfigError, Finding, Severity, calls_to_table
from meshwarden.lab.attacks import ATTACKS
from meshwarden.lab.attacks.intruder import parse_foothold
from meshwarden.lab.attacks.model import Foothold
from meshwarden.lab.attacks.raid import Raid
from meshwarden.lab.timeline import AttackTimeline, tell

MS = 1_000_000
SUSPECT = "spiffe://bank.example/ns/core/sa/payments"
HOLD = Foothold(
    names=("ledger",), addresses=("10.0.0.1",), egress=("out.example",), mule="acc-1",
    accounts=("acc-2",), customers=("cus-2",),
)  # fmt: skip


def line(at_ms: int, **more: object) -> str:
    told = {"at": at_ms * MS, "end": (at_ms + 4) * MS, "way": "proxy", "host": "ledger",
            "port": 80, "method": "GET", "path": "/", "octets": 100, "status": 403}  # fmt: skip
    return json.dumps(told | more)


def raid(*lines: str) -> Raid:
    found = Raid(attack=ATTACKS["exfiltration"], foothold=HOLD, started=100 * MS)
    for each in lines:
        found.take_line("intruder", each)
    return found


def call(at_ms: int, source: str = SUSPECT) -> Call:
    return Call(
        time=at_ms * MS, source=source, destination="external:out.example", protocol="http",
        reporter="source",
    )  # fmt: skip


def finding(at_ms: int, *, code: str = "behaviour.volume", subject: str = SUSPECT) -> Finding:
    return Finding(
        time=at_ms * MS, code=code, subject=subject, severity=Severity.HIGH, sentence="s"
    )


def told(findings: list[Finding], *calls: Call) -> AttackTimeline:
    return tell(
        raid(line(110), line(150), line(400)), findings, calls_to_table(calls), suspect=SUSPECT,
        succeeded=None, got="nothing",
    )  # fmt: skip


def test_time_calls_and_octets_count_up_to_the_finding() -> None:
    story = told([finding(160)], call(50), call(111), call(151))
    assert (story.first_malicious_call, story.found) == (111 * MS, 160 * MS)
    assert story.found_after_ms == 49
    assert (story.calls, story.octets, story.steps) == (2, 200, 3)


@pytest.mark.parametrize("other", [
    finding(90), finding(160, code="record.trouble"),
    finding(160, subject="spiffe://bank.example/ns/core/sa/ledger"),
])  # fmt: skip
def test_what_came_before_or_is_about_something_else_does_not_count(other: Finding) -> None:
    story = told([other], call(111))
    assert story.found is None
    assert story.calls == 3


def test_a_call_that_the_record_does_not_have_is_not_claimed() -> None:
    assert told([], call(50), call(111, source="other")).first_malicious_call is None


def test_output_that_is_no_step_is_kept_as_what_the_intruder_said() -> None:
    found = raid("Traceback (most recent call last):", line(110))
    assert found.said == ["Traceback (most recent call last):"]
    assert len(found.acts) == 1


def test_the_story_is_told_in_its_order() -> None:
    lines = timeline_lines(told([finding(160)], call(111)))
    assert [text.split("  ")[2][:9] for text in lines[1:4]] == [
        "exfiltrat",
        "first mal",
        "found aft",
    ]
    assert "did not succeed" in lines[-1]
    assert "NOT FOUND" in "\n".join(timeline_lines(told([], call(111))))


def test_a_foothold_reaches_the_intruder_whole() -> None:
    from dataclasses import asdict  # noqa: PLC0415  # as the raid sends it

    assert parse_foothold(json.dumps(asdict(HOLD))) == HOLD


@pytest.mark.parametrize(("text", "days"), [("7d", 7.0), ("0", 0.0), ("0.5d", 0.5)])
def test_history_is_a_number_of_days(text: str, days: float) -> None:
    assert parse_days(text) == days


@pytest.mark.parametrize("text", ["", "7h", "-1d", "61d", "nan", "d"])
def test_history_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_days(text)
