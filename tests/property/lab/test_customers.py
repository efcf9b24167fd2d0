from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwarden.lab.agreement import hop_keys
from meshwarden.lab.customers import CustomerModel, Kind
from meshwarden.lab.synthesize import synthesize

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    customers=st.integers(2, 60),
    hours=st.integers(0, 400),
    span_s=st.floats(0, 200_000),
)
def test_same_seed_same_calls_and_one_login_a_session(
    seed: int, customers: int, hours: int, span_s: float
) -> None:
    start = MONDAY + timedelta(hours=hours)
    timelines = [
        CustomerModel(seed=seed, customers=customers).timeline(start=start, span_s=span_s)
        for _ in range(2)
    ]
    one, other = (synthesize(timeline, start=start, seed=seed) for timeline in timelines)
    assert one.equals(other)
    logins = int((timelines[0].kind == Kind.LOGIN).sum())
    assert logins == len(np.unique(timelines[0].session))
    assert int((hop_keys(one) == "gateway idp POST /token 200").sum()) == logins
