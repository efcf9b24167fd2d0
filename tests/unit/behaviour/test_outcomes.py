"""What a call came to, and how odd a run of one kind is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom
from tests.behaviour_world import START, call, table

from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.outcomes import OUTCOMES, _add, _run, run_of


@pytest.mark.parametrize(
    ("protocol", "status", "outcome"),
    [
        ("http", 200, "answered"), ("http", 302, "answered"), ("http", 401, "refused"),
        ("http", 403, "refused"), ("http", 429, "refused"), ("http", 404, "caller's error"),
        ("http", 499, "caller's error"), ("http", 500, "server's error"),
        ("http", 599, "server's error"), ("http", 30_000, "server's error"),
        ("http", 0, "no answer"), ("grpc", 0, "answered"), ("grpc", 200, "answered"),
        ("grpc", 4, "no answer"), ("grpc", 5, "caller's error"), ("grpc", 7, "refused"),
        ("grpc", 14, "server's error"), ("grpc", 16, "refused"), ("grpc", 99, "server's error"),
    ],
)  # fmt: skip
def test_a_status_says_what_a_call_came_to(protocol: str, status: int, outcome: str) -> None:
    encoded = encode(table([call(START, "s0", "s1", protocol=protocol, status=status)]))
    assert OUTCOMES[encoded.outcome[0]] == outcome


def test_what_was_denied_was_refused_whatever_its_status_and_no_status_is_not_known() -> None:
    calls = [
        call(START, "s0", "s1", denied=True), call(START, "s0", "s1", status=None),
        call(START, "s0", "s1", protocol="tcp", status=None, response_bytes=0),
        call(START, "s0", "s1", protocol="tcp", status=None, response_bytes=9),
    ]  # fmt: skip
    assert encode(table(calls)).outcome.tolist() == [1, -1, 4, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.floats(0.0, 1.0), st.floats(0.0005, 0.95))
def test_a_run_is_as_odd_as_at_least_so_many_are(n: int, part: float, rate: float) -> None:
    bad = round(n * part)
    exact = -float(betabinom.logsf(bad - 1, n, 2.0 * rate, 2.0 * (1.0 - rate)))
    assert (
        exact - 0.75 <= _run(float(bad), float(n), 2.0 * rate, 2.0 * (1.0 - rate)) <= exact + 1e-3
    )


def test_a_run_beyond_all_counting_keeps_its_proportions() -> None:
    run = np.zeros(1, run_of(2))[0]
    run["now"] = [30_000, 65_535]
    _add(run, 1)
    assert run["now"].tolist() == [15_000, 32_768]
