from dataclasses import fields
from datetime import UTC, datetime

import numpy as np
import pytest

from meshwarden.lab.bank.rules import STEP_UP_MINOR
from meshwarden.lab.customers import CustomerModel, Kind, Timeline, rhythm

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def week() -> Timeline:
    return CustomerModel(seed=5, customers=400).timeline(start=MONDAY, span_s=7 * DAY_S)


def same(one: Timeline, other: Timeline) -> bool:
    names = [f.name for f in fields(Timeline)]
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def test_same_seed_gives_the_same_actions() -> None:
    runs = [
        CustomerModel(seed=5, customers=50).timeline(start=MONDAY, span_s=DAY_S) for _ in range(2)
    ]
    assert same(*runs)
    assert list(runs[0].actions()) == list(runs[1].actions())


def test_another_seed_or_stream_gives_others() -> None:
    model = CustomerModel(seed=5, customers=50)
    one = model.timeline(start=MONDAY, span_s=DAY_S)
    assert not same(one, model.timeline(start=MONDAY, span_s=DAY_S, stream=1))
    other = CustomerModel(seed=6, customers=50)
    assert not same(one, other.timeline(start=MONDAY, span_s=DAY_S))


def test_every_session_logs_in_first_lists_accounts_and_goes_on(week: Timeline) -> None:
    sessions: dict[int, list[Kind]] = {}
    for action in week.actions():
        sessions.setdefault(action.session, []).append(action.kind)
    assert all(kinds[:2] == [Kind.LOGIN, Kind.ACCOUNTS] for kinds in sessions.values())
    assert all(len(kinds) > 2 and Kind.LOGIN not in kinds[1:] for kinds in sessions.values())


def test_actions_come_in_time_and_sessions_end_before_their_token(week: Timeline) -> None:
    assert np.all(np.diff(week.at_s) >= 0)
    begin = np.full(week.session.max() + 1, np.inf)
    np.minimum.at(begin, week.session, week.at_s)
    assert np.all(week.at_s - begin[week.session] < 900)


def test_sessions_follow_the_hours_of_the_day_and_the_days_of_the_week(week: Timeline) -> None:
    logins = week.at_s[week.kind == Kind.LOGIN]
    hours = np.bincount((logins // 3600 % 24).astype(int), minlength=24) / len(logins)
    expected = np.array([rhythm(MONDAY.replace(hour=hour)) for hour in range(24)])
    assert np.abs(hours - expected / expected.sum()).max() < 0.01
    days = np.bincount((logins // DAY_S).astype(int), minlength=7)
    assert days[4] == days.max()
    assert days[6] == days.min()


def test_large_transfers_have_a_second_factor(week: Timeline) -> None:
    large = (week.kind == Kind.TRANSFER) & (week.amount_minor >= STEP_UP_MINOR)
    assert large.sum() > 100
    assert week.second_factor[large].all()


def test_home_device_prevails_and_is_not_the_only_one(week: Timeline) -> None:
    shares = np.bincount(week.device) / len(week)
    assert shares[0] > 0.85
    assert shares[1] > shares[2] > 0


def test_nobody_pays_themselves_and_most_payees_are_habitual(week: Timeline) -> None:
    transfers = week.kind == Kind.TRANSFER
    pairs = np.stack([week.customer, week.payee])[:, transfers]
    assert not np.any(pairs[0] == pairs[1])
    assert len(np.unique(pairs, axis=1).T) < 0.6 * transfers.sum()


def test_devices_of_different_customers_differ() -> None:
    model = CustomerModel(seed=5, customers=10)
    agents = {model.user_agent(customer, device) for customer in range(10) for device in range(3)}
    assert len(agents) == 30


def test_one_customer_is_not_enough() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        CustomerModel(seed=1, customers=1)


def test_empty_span_has_no_actions() -> None:
    timeline = CustomerModel(seed=1, customers=2).timeline(start=MONDAY, span_s=0.0)
    assert list(timeline.actions()) == []
