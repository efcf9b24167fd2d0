"""Outcomes and sizes by route: what is usual at one is no excuse at another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import betabinom
from tests.behaviour_world import DAY, HOUR, SECOND, SMALL, START, call, table

from meshwarden.behaviour import Model
from meshwarden.behaviour.detectors.shape import Shape
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.ground import Ground
from meshwarden.behaviour.outcomes import OUTCOMES, _run
from meshwarden.kernel import Call

NOBODY = np.zeros(1 << SMALL.node_bits, np.bool_)
FAILURES, MIX, SENT, RECEIVED = range(4)


def _said(calls: list[Call], *, cut: int = 10**6) -> NDArray[np.float32]:
    """Return what every channel says at each call, the calls given in parts of `cut`."""
    detector, ground, parts = Shape(SMALL), Ground(SMALL), []
    for start in range(0, len(calls), cut):
        encoded = encode(table(calls[start : start + cut]))
        parts.append(detector.observe(ground.place(encoded, encoded.time), NOBODY))
    return np.hstack(parts)


def _days(**fields: object) -> list[Call]:
    """Ten days of two routes of one service: a search that finds nothing half the time, a log-in."""
    chance, calls = np.random.default_rng(1), []
    for step in range(10 * 24 * 6):
        time = START + step * HOUR // 6
        found = 404 if chance.random() < 0.5 else 200
        size = int(chance.lognormal(5.0, 0.1))
        calls.append(call(time, "s0", "s1", route="/search", status=found, response_bytes=size))
        calls.append(call(time + SECOND, "s0", "s1", route="/login", response_bytes=9 * size))
    return calls + [call(START + 10 * DAY + k * SECOND, "s0", "s1", **fields) for k in range(12)]


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


def test_failures_that_are_usual_at_one_route_are_told_at_another() -> None:
    usual, odd = (_said(_days(route=route, status=404)) for route in ("/search", "/login"))
    assert usual[MIX, -1] == 0.0
    assert odd[MIX, -1] > 6.0


def test_refusals_are_told_where_errors_of_the_caller_are_usual() -> None:
    said = _said(_days(route="/search", status=401))
    assert said[MIX, -1] > 6.0
    assert said[MIX, -1] > 2.0 * said[FAILURES, -1]


def test_answers_are_told_where_there_were_only_refusals() -> None:
    refused = [
        call(START + step * HOUR // 6, "s0", "s1", status=401) for step in range(10 * 24 * 6)
    ]
    breaks_in = [call(START + 10 * DAY + k * SECOND, "s0", "s1") for k in range(6)]
    said = _said(refused + breaks_in)
    assert said[MIX, -1] > 6.0
    assert not said[FAILURES].any() or said[FAILURES, -1] == 0.0


def test_a_new_caller_of_a_route_that_refuses_everyone_is_judged_by_the_others() -> None:
    def refusals(*callers: str) -> float:
        calls = [
            call(START + step * HOUR // 6 + k, caller, "s9", status=403)
            for step in range(10 * 24 * 6)
            for k, caller in enumerate(callers)
        ]
        usual = [call(START + step * SECOND, "s0", "s1") for step in range(200)]
        late = [call(START + 10 * DAY + k * SECOND, "late", "s9", status=403) for k in range(5)]
        return float(_said([*usual, *calls, *late])[MIX, -1])

    assert refusals("a", "b", "c") < 1.0 < refusals()


def test_sizes_are_judged_by_route() -> None:
    """As many octets as a log-in answers with are odd for a search."""
    usual, odd = (_said(_days(route=r, response_bytes=1400)) for r in ("/login", "/search"))
    assert usual[RECEIVED, -12:].max() < 1.5
    assert odd[RECEIVED, -12] > 4.0
    few = _said(_days(route="/login", response_bytes=150))
    assert few[RECEIVED, -12:].max() == 0.0
    sent = _said(_days(route="/search", request_bytes=10**6))
    assert sent[SENT, -12] > 4.0


def test_the_oddest_of_many_calls_is_less_odd() -> None:
    few, many = (
        _said([*_days()[:-12], *(call(START + 10 * DAY + k, "s0", "s1", route="/login",
                                      response_bytes=1300) for k in range(before)),
               call(START + 10 * DAY + HOUR // 2, "s0", "s1", route="/login", response_bytes=9000)])
        for before in (1, 200)
    )  # fmt: skip
    assert few[RECEIVED, -1] > many[RECEIVED, -1] + 2.0


def test_parts_without_sizes_or_statuses_change_nothing() -> None:
    silent = {"status": None, "request_bytes": None, "response_bytes": None}
    calls = _days(route="/login", status=401, response_bytes=10**5)[-500:]
    for at in range(0, 400, 7):
        calls[at : at + 3] = [call(one.time, "s0", "s1", **silent) for one in calls[at : at + 3]]
    whole = _said(calls)
    for cut in (1, 2, 3, 50):
        assert np.array_equal(_said(calls, cut=cut), whole)


def test_a_finding_says_what_came_instead_of_the_usual() -> None:
    model = Model(SMALL)
    days = _days(route="/login", status=401)
    others = [call(one.time + 2 * SECOND, f"s{k}", "s7") for one in days[:-12] for k in (3, 4)]
    model.observe(table(sorted([*days[:-12], *others], key=lambda each: each.time)))
    findings = model.observe(table(days[-12:])).findings
    assert findings[0].code == "behaviour.status_mix"
    assert "s0 gets other answers from spiffe://bank.example/s1 at GET /login" in (
        findings[0].sentence
    )
    assert "now: refused" in findings[0].sentence
    assert findings[0].technique == "T1110@18.1"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.floats(0.0, 1.0), st.floats(0.0005, 0.9))
def test_a_run_is_as_odd_as_at_least_so_many_are(n: int, part: float, rate: float) -> None:
    bad = round(n * part)
    exact = -float(betabinom.logsf(bad - 1, n, 2.0 * rate, 2.0 * (1.0 - rate)))
    assert (
        exact - 0.75 <= _run(float(bad), float(n), 2.0 * rate, 2.0 * (1.0 - rate)) <= exact + 1e-3
    )
