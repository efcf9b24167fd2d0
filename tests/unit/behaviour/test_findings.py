"""Findings in words: how often, since when, which calls, which technique."""

import re
from dataclasses import replace

import pytest
from tests.behaviour_world import DAY, HOUR, SECOND, SMALL, START, call, learned, table, traffic

from meshwarden.behaviour import Model
from meshwarden.behaviour.findings import Alarm, finding_of
from meshwarden.behaviour.outcomes import OUTCOMES

LATER = START + 48 * HOUR
ALARM = Alarm(
    time=LATER, source="a", destination="b", service="", towards="b", outcome="",
    channel="new edge", surprise={"new edge": 9.0}, score=1.0, groups_per_day=9.0, known=3 * DAY,
    row=9,
)  # fmt: skip


@pytest.mark.parametrize(("score", "known", "words"), [
    (-0.2, DAY, "expected 1.6 times a day;"), (1.0, DAY, "expected 0.1 times a day;"),
    (1.3, 7 * DAY, "expected once in 20 days;"),
    (4.0, 7 * DAY, "expected less than once in 70 days;"),
    (9.0, HOUR, "expected less than once in 10 days;"),
])  # fmt: skip
def test_how_often_is_no_more_than_the_history_can_tell(
    score: float, known: int, words: str
) -> None:
    assert words in finding_of(replace(ALARM, score=score, known=known)).sentence


@pytest.mark.parametrize(("channel", "outcome", "technique"), [
    ("failures in an hour", OUTCOMES[1], "T1110"), ("failures in an hour", OUTCOMES[3], "T1499"),
    ("status mix", OUTCOMES[4], "T1499"), ("new edge", OUTCOMES[3], "T1021"),
    ("body structure", OUTCOMES[0], "T1210"),
])  # fmt: skip
def test_what_breaks_is_no_guessing(channel: str, outcome: str, technique: str) -> None:
    found = finding_of(replace(ALARM, channel=channel, outcome=outcome))
    assert (found.technique or "").startswith(f"{technique}@")


def test_who_is_called_again_is_not_called_for_the_first_time() -> None:
    assert "called b for the first time;" in finding_of(ALARM).sentence
    assert "called b again, which is new to it;" in finding_of(replace(ALARM, first=False)).sentence


def test_the_calls_before_it_are_named_whatever_the_batches() -> None:
    calls = table([call(LATER + i * SECOND, "s0", "s1") for i in range(3000)])
    whole, parts = learned(), learned()
    found = whole.observe(calls).findings
    assert found == tuple(
        one for k in range(0, 3000, 7) for one in parts.observe(calls.slice(k, 7)).findings
    )
    told, *before = found[-1].evidence
    assert 1 <= len(before) <= 9
    assert told.startswith("call ")
    numbers = [int(one.removeprefix("before it, call ").split(":")[0]) for one in before]
    assert numbers == sorted(numbers)
    assert numbers[-1] < int(told.removeprefix("call ").split(":")[0])
    assert all("spiffe://bank.example/s0 -> spiffe://bank.example/s1" in one for one in before)


@pytest.mark.parametrize("first", [START - 19_000 * DAY, START - 30 * DAY])
def test_what_nobody_saw_is_no_history(first: int) -> None:
    model = Model(SMALL)
    model.observe(table([call(max(first, 1), "s0", "s1")]))
    model.observe(table(traffic(48)))
    assert model.describe()["days"] <= 2.0
    found = model.observe(table([call(LATER + i * SECOND, "s5", "s0") for i in range(9)])).findings
    assert found
    assert re.search(r"; 4[78]\.\d hours of history", found[0].sentence)
