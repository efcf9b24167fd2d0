"""Outcomes and sizes by route: what is usual at one is no excuse at another."""

import numpy as np
from numpy.typing import NDArray
from tests.behaviour_world import DAY, HOUR, SECOND, SMALL, START, call, table

from meshwarden.behaviour import Model
from meshwarden.behaviour.detectors.shape import Shape
from meshwarden.behaviour.encode import encode
from meshwarden.behaviour.ground import Ground
from meshwarden.kernel import Call

NOBODY = np.zeros(1 << SMALL.node_bits, np.bool_)
FAILURES, MIX, SUCCESS, SENT, RECEIVED = range(5)


def _said(
    calls: list[Call], *, cut: int = 10**6, detector: Shape | None = None,
    ground: Ground | None = None, muted: NDArray[np.bool_] = NOBODY,
) -> NDArray[np.float32]:  # fmt: skip
    """Return what every channel says at each call, the calls given in parts of `cut`."""
    detector, ground, parts = detector or Shape(SMALL), ground or Ground(SMALL), []
    for start in range(0, len(calls), cut):
        encoded = encode(table(calls[start : start + cut]))
        parts.append(detector.observe(ground.place(encoded, encoded.time), muted))
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
    assert said[SUCCESS, -1] > 6.0
    assert said[MIX, -1] == said[FAILURES, -1] == 0.0


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


def test_what_an_alarming_party_does_is_learned_in_no_respect() -> None:
    """Outcomes, sizes and structures of an hour are news in the next one as they were in this."""
    detector, ground = Shape(SMALL), Ground(SMALL)
    _said(_days(route="/login", shape="usual")[:-12], detector=detector, ground=ground)
    before, all_muted = detector.save(), ~NOBODY
    for hour in range(3):
        odd = [call(START + 10 * DAY + hour * HOUR + k * SECOND, "s0", "s1", route="/login",
                    status=401, response_bytes=10**6, shape="odd") for k in range(12)]  # fmt: skip
        _said(odd, detector=detector, ground=ground, muted=all_muted)
    assert np.array_equal(detector.state["all kinds"], before["all kinds"])
    for part in ("edge runs", "link runs", "destination runs", "offer runs"):
        assert np.array_equal(detector.state[part]["past"], before[part]["past"])
    for part in ("link sizes", "offer sizes", "caller sizes", "all sizes", "edge shapes"):
        assert np.array_equal(detector.state[part], before[part])


def test_an_hour_of_alarms_is_not_learned_however_long_the_edge_is_quiet_after_it() -> None:
    model = Model(SMALL)
    usual = [call(START + k * HOUR // 6 + 7, "s3", "s5") for k in range(14 * 24 * 6)]
    logins = [call(START + k * HOUR // 6, "s0", "s1", route="/login") for k in range(10 * 24 * 6)]
    begin = START + 10 * DAY
    guesses = [call(begin + k * SECOND, "s0", "s1", route="/login", status=401) for k in range(60)]
    later = call(begin + 4 * HOUR, "s0", "s1", route="/login")
    calls = sorted([*usual, *logins, *guesses, later], key=lambda each: each.time)
    assert model.observe(table(calls)).alert.any()
    shape = next(one for one in model.detectors if one.name == "shape")
    assert shape.state["link runs"]["past"][:, 1:].sum() == 0.0
    assert shape.state["edge runs"]["past"][:, 1].sum() == 0.0


def test_one_caller_does_not_make_failures_usual_for_everyone() -> None:
    """However many routes it fails at, everyone's past takes twenty of its calls an hour."""
    detector = Shape(SMALL)
    calls = [call(START + k, "s0", "s1", route=f"/{k % 150}", status=401) for k in range(3000)]
    _said([*calls, *(call(START + HOUR + k, "s0", "s1", route=f"/{k}") for k in range(150))],
          detector=detector)  # fmt: skip
    assert 0.0 < detector.state["all kinds"].sum() <= 20.0001


def test_sizes_of_a_new_route_are_judged_by_what_its_caller_sends() -> None:
    def first(usual: int) -> float:
        before = [call(START + k * SECOND, "s0", f"t{k % 3}", request_bytes=usual) for k in
                  range(300)]  # fmt: skip
        new = call(START + HOUR, "s0", "t0", route="/new", request_bytes=100_000)
        return float(_said([*before, new])[SENT, -1])

    assert first(100) > first(90_000) + 1.0


def test_an_outlier_moves_what_is_usual_by_three_deviations() -> None:
    detector, ground = Shape(SMALL), Ground(SMALL)
    _said(_days(route="/login")[:-12], detector=detector, ground=ground)
    mean = detector.state["link sizes"]["mean"].copy()
    huge = call(START + 10 * DAY, "s0", "s1", route="/login", request_bytes=2**62)
    _said([huge], detector=detector, ground=ground)
    assert 0.0 < np.abs(detector.state["link sizes"]["mean"] - mean).max() < 0.02


def test_merged_with_one_that_knows_more_it_knows_as_much() -> None:
    silent, knowing = Shape(SMALL), Shape(SMALL)
    _said([call(START, "x", "y", status=None, request_bytes=None, response_bytes=None)],
          detector=silent)  # fmt: skip
    _said([call(START, "x", "y", shape="s")], detector=knowing)
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    silent.merge(knowing, dict.fromkeys(("nodes", "edges", "offers", "links"), nothing))
    assert silent.state["stated"].all()
