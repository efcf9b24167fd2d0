"""The bank's services as real processes, without a mesh: a plain forward proxy takes its place."""

import asyncio
import os
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.e2e.agreement_support import agrees
from tests.e2e.plain_bank import CUSTOMERS_COUNT, IDENTITIES, SEED, PlainBank, running_bank

from meshwarden.adapters.process import open_to_others
from meshwarden.kernel import calls_to_table
from meshwarden.lab.agreement import compare
from meshwarden.lab.bank.directory import Directory
from meshwarden.lab.bank.ledger_db import find_binaries
from meshwarden.lab.callgraph import CARD_NETWORK, CUSTOMERS
from meshwarden.lab.customers import CustomerModel, Kind, Timeline
from meshwarden.lab.load import Load, LoadReport
from meshwarden.lab.mesh import TOKEN_SERVICE
from meshwarden.lab.synthesize import synthesize

pytestmark = pytest.mark.e2e

MONDAY_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SPEED = 150.0


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path that the database's user can enter; sockets have to fit into 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="bank-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def timeline_of(model: CustomerModel, *, seconds: float, stream: int) -> Timeline:
    return model.timeline(start=MONDAY_NOON, span_s=seconds * SPEED, stream=stream)


async def play(bank: PlainBank, *, seconds: float) -> LoadReport:
    model = CustomerModel(seed=1, customers=CUSTOMERS_COUNT)
    timeline = timeline_of(model, seconds=seconds, stream=0)
    load = Load(bank.base_url, model=model, directory=Directory(SEED, CUSTOMERS_COUNT))
    return await load.run(timeline.actions(), speed=SPEED, seconds=seconds)


def recorded(bank: PlainBank) -> pa.Table:
    return calls_to_table(sorted(bank.calls, key=lambda call: call.time))


def of_the_bank(calls: pa.Table) -> pa.Table:
    """Leave out the token service, which is a part of the mesh: a mesh's run is compared whole."""
    named = calls["destination"].cast(pa.string())
    return calls.filter(pc.invert(pc.equal(named, IDENTITIES[TOKEN_SERVICE])))


async def test_customers_are_served_and_the_books_balance_on_sqlite(directory: Path) -> None:
    async with running_bank(directory, postgres=False) as bank:
        report = await play(bank, seconds=20.0)
        books = (await bank.ask("ledger", "/v1/report")).json()
        calls = recorded(bank)
    assert report.failures == {}
    assert report.skipped == 0
    assert all(counts.ok for counts in report.kinds.values() if counts.sent)  # the rare wait long
    assert report.kinds[Kind.LOGIN].sent > 0
    assert report.kinds[Kind.LOGIN].ok == report.kinds[Kind.LOGIN].sent
    assert books["balanced"]
    assert books["entries"] > 2 * 2 * CUSTOMERS_COUNT * 10
    at_edge = [call for call in bank.calls if call.source == CUSTOMERS]
    assert len(at_edge) == report.requests
    assert CARD_NETWORK in calls["destination"].to_pylist()
    # The same population on another course of events, written without running anything.
    other = timeline_of(CustomerModel(seed=1, customers=CUSTOMERS_COUNT), seconds=20.0, stream=1)
    written = synthesize(other, start=MONDAY_NOON, seed=2, speed=SPEED)
    agreement = compare(of_the_bank(calls), of_the_bank(written))
    assert agrees(agreement, late_s=report.late_s), agreement.render()


@pytest.mark.skipif(find_binaries() is None, reason="no PostgreSQL on this machine")
@pytest.mark.skipif(
    os.geteuid() == 0 and not open_to_others(Path(sys.executable)),
    reason="PostgreSQL's account cannot reach this interpreter: use one outside of /root",
)
async def test_customers_are_served_and_the_books_balance_on_postgresql(directory: Path) -> None:
    async with running_bank(directory, postgres=True) as bank:
        report = await play(bank, seconds=6.0)
        await crossing_transfers_are_booked_once(bank)
        await transfers_that_cannot_be_are_refused(bank)
        books = (await bank.ask("ledger", "/v1/report")).json()
        postmaster = (directory / "ledger-db" / "data" / "postmaster.pid").read_text()
        await end_with_its_children(int(postmaster.split()[0]))
        without = await bank.ask("ledger", "/v1/transfers", order(100))
    assert (without.status_code, without.json()["code"]) == (503, "ledger.database")
    assert report.failures == {}
    assert report.total.sent == report.total.ok + report.total.refused
    assert books["balanced"]
    assert books["entries"] > 2 * 2 * CUSTOMERS_COUNT * 10
    assert not (directory / "ledger" / "ledger.sqlite").exists()


async def end_with_its_children(pid: int) -> None:
    """Kill a process; return once those that it started have noticed and ended."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ends = [os.pidfd_open(int(child)) for child in children]
    try:
        os.kill(pid, signal.SIGKILL)
        for end in ends:
            assert await asyncio.to_thread(select.select, [end], [], [], 30) != ([], [], [])
    finally:
        for end in ends:
            os.close(end)


def order(number: int, **changes: Any) -> dict[str, Any]:
    """Return a transfer between two customers, back and forth by turns."""
    directory = Directory(SEED, CUSTOMERS_COUNT)
    pair = [directory.account_id(who, 0) for who in (0, 1)]
    return {
        "key": f"crossing-{number}",
        "debit": pair[number % 2],
        "credit": pair[(number + 1) % 2],
        "amount_minor": 100 + number,
        "currency": "EUR",
    } | changes


async def crossing_transfers_are_booked_once(bank: PlainBank) -> None:
    tries = [bank.ask("ledger", "/v1/transfers", order(number % 20)) for number in range(60)]
    statuses = [response.status_code for response in await asyncio.gather(*tries)]
    assert sorted(statuses) == [200] * 40 + [201] * 20


async def transfers_that_cannot_be_are_refused(bank: PlainBank) -> None:
    unknown = "acc-00000000-0000-4000-8000-0000000000ff"
    for changes, code in (
        ({"amount_minor": 7}, "ledger.key_reused"),
        ({"key": "too-much-1", "amount_minor": 10**11}, "ledger.insufficient_funds"),
        ({"key": "no-credit", "credit": unknown}, "ledger.unknown_account"),
        ({"key": "no-debit-", "debit": unknown}, "ledger.unknown_account"),
        ({"key": "in-dollar", "currency": "USD"}, "ledger.unknown_account"),
    ):
        response = await bank.ask("ledger", "/v1/transfers", order(0, **changes))
        assert response.json()["code"] == code
