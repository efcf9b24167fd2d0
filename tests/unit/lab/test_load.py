"""The load generator against the whole bank in one process."""

from datetime import UTC, datetime

import httpx
import pytest
from tests.unit.lab.whole_bank import Bank

from meshwarden.lab.customers import CustomerModel, Kind, Timeline
from meshwarden.lab.load import Load

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
MODEL = CustomerModel(seed=2, customers=4)


def load(bank: Bank) -> Load:
    return Load(
        "http://gateway",
        model=MODEL,
        directory=bank.directory,
        now=lambda: bank.now,
        transport=bank,
    )


@pytest.fixture(scope="module")
def day() -> Timeline:
    return MODEL.timeline(start=START, span_s=86_400)


async def test_all_that_is_sent_is_answered_and_counted(bank: Bank, day: Timeline) -> None:
    run = load(bank)
    report = await run.run(day.actions(), speed=1e9)
    at_edge = [asked for asked in bank.asked if asked[0] == "gateway"]
    assert report.failures == {}
    assert report.total.ok + report.total.refused == report.total.sent > 40
    assert report.total.sent + report.skipped == len(day)
    assert len(at_edge) == report.requests
    assert (await bank.books.report())["balanced"]


async def test_used_up_one_time_codes_skip_the_session(bank: Bank, day: Timeline) -> None:
    logins = [a for a in day.actions() if a.kind is Kind.LOGIN and a.second_factor]
    customer = max(logins, key=lambda a: sum(b.customer == a.customer for b in logins)).customer
    mine = [a for a in logins if a.customer == customer]
    report = await load(bank).run([mine[0]] * 5, speed=1e9)
    assert (report.total.ok, report.skipped) == (2, 3)


async def test_failure_of_the_bank_is_counted_with_its_reason(bank: Bank, day: Timeline) -> None:
    bank.down["accounts"] = httpx.ConnectError("down")
    report = await load(bank).run(day.actions(), speed=1e9)
    assert report.kinds[Kind.BALANCE].ok == 0
    assert report.kinds[Kind.BALANCE].failed > 0
    assert report.failures["balance: 503 upstream.unavailable"] == (
        report.kinds[Kind.BALANCE].failed
    )


async def test_session_without_a_login_is_skipped(bank: Bank, day: Timeline) -> None:
    bank.down["idp"] = httpx.ConnectError("down")
    report = await load(bank).run(day.actions(), speed=1e9)
    assert report.total.sent == report.kinds[Kind.LOGIN].failed > 0
    assert report.skipped > 0


async def test_run_ends_after_a_count_or_a_time(bank: Bank, day: Timeline) -> None:
    counted = await load(bank).run(day.actions(), speed=1e9, count=7)
    timed = await load(bank).run(day.actions(), speed=1e9, seconds=0.0)
    assert counted.total.sent + counted.skipped == 7
    assert timed.total.sent == 0
