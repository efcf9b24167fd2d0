from dataclasses import replace
from datetime import UTC, datetime, timedelta

from meshwarden.control.workload.refusals import MAX_FINDINGS_PER_HOUR, MAX_KNOWN, Refusals
from meshwarden.identity import ProcessFacts
from meshwarden.kernel import Finding

FACTS = ProcessFacts(pid=1, start_ticks=1, uid=7, gid=7, executable="/bin/x")


class Clock:
    time = datetime(2026, 11, 3, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


def test_a_thousand_tries_are_one_finding_and_another_an_hour_later() -> None:
    clock, told = Clock(), list[Finding]()
    refusals = Refusals(clock=clock, tell=told.append)
    for pid in range(1000):
        refusals.record(replace(FACTS, pid=pid), "FetchX509SVID")
    assert [one.code for one in told] == ["identity.workload_refused"]
    clock.time += timedelta(hours=1)
    refusals.record(FACTS, "FetchX509SVID")
    assert len(told) == 2


def test_many_different_strangers_are_bounded_and_said_to_be_many() -> None:
    told = list[Finding]()
    refusals = Refusals(clock=Clock(), tell=told.append)
    for number in range(MAX_KNOWN * 2):
        refusals.record(replace(FACTS, executable=f"/bin/{number}"), "FetchX509SVID")
    assert len(told) == MAX_FINDINGS_PER_HOUR + 1
    assert told[-1].code == "identity.workload_refusals"
    assert len(refusals._told) == MAX_KNOWN
