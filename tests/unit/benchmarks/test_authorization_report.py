"""The benchmark's workload and report: what is compared, and that the rules mean what they say."""

from benchmarks.report import Measured, Report, ratios, render_markdown, render_text, verdict
from benchmarks.workload import CALLEE, draw_refusals, draw_requests, make_grants

from meshwarden.kernel import SpiffeId
from meshwarden.policy import AccessPolicy, HttpRequest, PathPattern, Rule, Service, decide


def measured(throughput_per_s: float, p99_ms: float | None) -> Measured:
    return Measured(
        throughput_per_s=throughput_per_s,
        envoy_us=20.0,
        envoy_busy=1.0,
        authorizer_us=None,
        others_busy=0.0,
        p50_ms=p99_ms,
        p99_ms=p99_ms,
    )


REPORT = Report(
    machine={"processor": "one"},
    connections=100,
    rate_per_s=50,
    seconds=1,
    forward=True,
    bare="bare",
    rounds={
        "bare": [measured(100, 1.0), measured(200, 2.0), measured(300, 1.0)],
        "ours": [measured(90, 1.0), measured(190, 2.2), measured(291, 1.2)],
        "slow": [measured(10, None), measured(10, None), measured(10, None)],
    },
    beside={
        "bare": [measured(100, 1.0), measured(100, 2.0), measured(300, 1.0)],
        "ours": [measured(100, 1.0), measured(200, 2.0), measured(300, 1.0)],
        "slow": [measured(100, 1.0), measured(200, 2.0), measured(300, 1.0)],
    },
    not_measured={"opa": "no opa"},
)


def test_a_ratio_is_to_the_bare_run_beside_it() -> None:
    assert ratios(REPORT, "ours", lambda one: one.throughput_per_s) == [0.9, 0.95, 0.97]
    assert ratios(REPORT, "bare", lambda one: one.throughput_per_s) == [1.0, 2.0, 1.0]
    assert ratios(REPORT, "slow", lambda one: one.p99_ms) == []


def test_the_table_shows_medians_spread_and_what_was_not_measured() -> None:
    text, page = render_text(REPORT), render_markdown(REPORT)
    assert "0.950 (0.925 to 0.960)" in text
    assert "| slow | 10 |" in page
    assert "opa: not measured, no opa" in page
    assert "95.0% of bare throughput" in verdict(REPORT, "ours")
    assert "cannot carry half" in verdict(REPORT, "slow")


def test_drawn_requests_are_allowed_and_drawn_refusals_are_not() -> None:
    grants = make_grants(100)
    rules = tuple(
        Rule(
            name=f"ledger.accepts[{index}]",
            sources=(one.caller,),
            methods=frozenset({one.method}),
            paths=(PathPattern.parse(one.pattern),),
        )
        for index, one in enumerate(grants)
    )
    ledger = Service(name="ledger", identity=CALLEE, accepts=rules)
    policy = AccessPolicy(trust_domain=CALLEE.trust_domain, services={"ledger": ledger})

    def allowed(caller: str, request: str) -> bool:
        method, _, path = request.partition(" ")
        asked = HttpRequest(
            source=SpiffeId.parse(caller), destination=CALLEE, method=method, path=path
        )
        return decide(policy, asked).allowed

    for caller, requests in draw_requests(grants, seed=1).items():
        assert all(allowed(caller, request) for request in requests[:30])
    assert not any(allowed(caller, request) for caller, request in draw_refusals(grants, seed=1))
