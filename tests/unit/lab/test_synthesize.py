from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from meshwarden.kernel import CALL_SCHEMA
from meshwarden.lab.agreement import hop_keys
from meshwarden.lab.bank.directory import HOME
from meshwarden.lab.bank.rules import STEP_UP_MINOR
from meshwarden.lab.customers import CustomerModel, Kind, Timeline
from meshwarden.lab.synthesize import synthesize

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
LEDGER = "spiffe://bank.example/ns/core/sa/ledger"


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return CustomerModel(seed=3, customers=200).timeline(start=START, span_s=8 * 3600)


@pytest.fixture(scope="module")
def calls(timeline: Timeline) -> pa.Table:
    return synthesize(timeline, start=START, seed=4, postgres=True)


def count(calls: pa.Table, key: str) -> int:
    return int(np.sum(hop_keys(calls) == key))


def test_table_has_the_schema_of_calls(calls: pa.Table) -> None:
    assert calls.schema == CALL_SCHEMA
    calls.validate(full=True)
    for name in ("time", "source", "destination", "protocol", "denied", "reporter"):
        assert calls[name].null_count == 0


def test_calls_come_in_time_from_the_start_on(calls: pa.Table) -> None:
    times = calls["time"].cast(pa.int64()).to_numpy()
    assert times[0] >= START.timestamp() * 1e9
    assert np.all(np.diff(times) >= 0)


def test_same_arguments_give_the_same_table(timeline: Timeline) -> None:
    one, other = (synthesize(timeline, start=START, seed=4) for _ in range(2))
    assert one.equals(other)
    assert not one.equals(synthesize(timeline, start=START, seed=5))


def test_each_action_causes_what_the_bank_does(calls: pa.Table, timeline: Timeline) -> None:
    transfers = timeline.kind == Kind.TRANSFER
    blocked = transfers & timeline.marked
    assert count(calls, "external:customers gateway POST /v1/transfers 422") == blocked.sum()
    booked = transfers.sum() - blocked.sum()
    assert count(calls, "gateway payments POST /v1/transfers 201") == booked
    large = (transfers & (timeline.amount_minor >= STEP_UP_MINOR)).sum()
    profiles = count(calls, "aml accounts GET /v1/customers/{} 200")
    assert profiles == large + (timeline.kind == Kind.CREDIT).sum()
    declined = ((timeline.kind == Kind.CARD_PAYMENT) & timeline.marked).sum()
    approved = count(calls, "scoring payments POST /v1/disbursements 201")
    cards = (timeline.kind == Kind.CARD_PAYMENT).sum() - declined
    booking = "payments ledger POST /v1/{} 201"
    above = count(calls, booking.format("large-transfers"))
    assert 0 < above <= large
    assert above + count(calls, booking.format("transfers")) == booked + cards + approved


def test_login_from_another_device_than_the_enrolled_one_is_told(
    calls: pa.Table, timeline: Timeline
) -> None:
    elsewhere = (timeline.kind == Kind.LOGIN) & (timeline.device != HOME)
    assert count(calls, "idp notifications POST /v1/messages 202") == elsewhere.sum() > 0


def test_inner_calls_are_under_mutual_tls_and_the_edge_is_not(calls: pa.Table) -> None:
    inner = pc.and_(
        pc.starts_with(calls["source"].cast(pa.string()), "spiffe://"),
        pc.starts_with(calls["destination"].cast(pa.string()), "spiffe://"),
    )
    assert calls["mtls"].to_pylist() == inner.to_pylist()


def test_caller_takes_longer_than_what_it_waits_for(calls: pa.Table) -> None:
    keys = hop_keys(calls)
    durations = calls["duration"].cast(pa.int64()).to_numpy()
    inner = np.median(durations[keys == "gateway accounts GET /v1/accounts/{}/balance 200"])
    outer = np.median(
        durations[keys == "external:customers gateway GET /v1/accounts/{}/balance 200"]
    )
    assert outer > inner


def test_database_connections_are_written_where_there_is_a_database(
    calls: pa.Table, timeline: Timeline
) -> None:
    connections = calls.filter(pc.equal(calls["protocol"].cast(pa.string()), "tcp"))
    assert connections.num_rows > 0
    assert connections["destination"].unique().to_pylist() == [f"{LEDGER}-db"]
    without = synthesize(timeline, start=START, seed=4)
    assert without["protocol"].unique().to_pylist() == ["http"]


def test_speed_compresses_the_times(timeline: Timeline) -> None:
    calls = synthesize(timeline, start=START, seed=4, speed=3600.0)
    times = calls["time"].cast(pa.int64()).to_numpy()
    assert (times[-1] - times[0]) / 1e9 < 60


def test_no_actions_give_no_calls() -> None:
    nothing = CustomerModel(seed=3, customers=2).timeline(start=START, span_s=0.0)
    calls = synthesize(nothing, start=START, seed=4, postgres=True)
    assert (calls.num_rows, calls.schema) == (0, CALL_SCHEMA)
