"""What is said of recorded calls holds for every call that the record may stand for."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.policy.test_reach_properties import CALLEE, CALLERS, policies
from tests.unit.policy.traffic_cases import DAY_NS, START_NS

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import Call
from meshwarden.kernel.call import calls_to_table
from meshwarden.policy import AccessPolicy, HttpRequest, decide, parse_policy
from meshwarden.policy.traffic import Judge, Observed, Traffic, Verdict
from meshwarden.policy.traffic.learn import learn
from meshwarden.policy.traffic.learn_text import name_services, render_learned
from meshwarden.policy.traffic.unused import find_unused


def _observed(rows: list[Call]) -> list[Observed]:
    found = Traffic()
    found.add(calls_to_table(rows))
    return found.observed()


segments = st.lists(st.sampled_from(["a", "b", "7", "c", "{}"]), min_size=1, max_size=4)
routes = st.builds(
    lambda parts, end: "/" + "/".join(parts) + end, segments, st.sampled_from(["", "/", "/**"])
)
calls = st.builds(
    Call,
    time=st.integers(0, 3).map(lambda day: START_NS + day * DAY_NS),
    source=st.sampled_from([str(caller) for caller in CALLERS]),
    destination=st.just(str(CALLEE)),
    protocol=st.just("http"),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    route=routes,
    denied=st.sampled_from([False, False, True]),
    mtls=st.sampled_from([True, True, None, False]),
    reporter=st.just("destination"),
)
traffic = st.lists(calls, min_size=1, max_size=12).map(_observed)
fillings = st.lists(st.sampled_from(["a", "b", "7", "zz"]), min_size=6, max_size=6)


def _path(route: str, filling: list[str]) -> str:
    """Return one path that was recorded as `route`."""
    values = iter(filling)
    cut = route.endswith("/**")
    parts = route.removesuffix("/**").split("/")
    filled = "/".join(next(values) if part == "{}" else part for part in parts)
    return filled + (f"/{next(values)}" if cut else "")


def _request(seen: Observed, filling: list[str]) -> HttpRequest:
    source = next(caller for caller in CALLERS if str(caller) == seen.source)
    path = _path(seen.route or "/", filling)
    return HttpRequest(source=source, destination=CALLEE, method=seen.method or "", path=path)


@settings(max_examples=500)
@given(policies, traffic, fillings)
def test_a_verdict_holds_for_each_path_that_the_route_may_have_been(
    policy: AccessPolicy, observed: list[Observed], filling: list[str]
) -> None:
    judge = Judge(policy)
    for seen in observed:
        verdict = judge.judge(seen).verdict
        allowed = decide(policy, _request(seen, filling)).allowed
        assert not (verdict is Verdict.ALLOWED and not allowed)
        assert not (verdict is Verdict.REFUSED and allowed)


@settings(max_examples=300)
@given(traffic, fillings)
def test_a_learned_policy_allows_all_that_it_learned_from(
    observed: list[Observed], filling: list[str]
) -> None:
    learned = learn(observed)
    if not learned.services:
        return
    text = render_learned(learned, name_services(learned.services, {}))
    policy = parse_policy(parse_document(text.encode(), name="learned"))
    taught = [seen for seen in observed if not seen.denied and seen.mtls is not False]
    assert all(decide(policy, _request(seen, filling)).allowed for seen in taught)
    asked = {(seen.source, seen.method) for seen in taught}
    for rule in policy.services[next(iter(policy.services))].accepts:
        pairs = {(str(source), method) for source in rule.sources for method in rule.methods or ()}
        assert pairs <= asked


@settings(max_examples=300)
@given(policies, traffic, fillings)
def test_no_proposal_refuses_a_call_that_was_seen(
    policy: AccessPolicy, observed: list[Observed], filling: list[str]
) -> None:
    proposals = {loose.rule.name: loose.proposal for loose in find_unused(policy, observed).loose}
    for seen in observed:
        request = _request(seen, filling)
        by = decide(policy, request).rule
        if not seen.denied and by in proposals:
            tighter = proposals[by]
            assert tighter is not None
            assert request.source in tighter.sources
            assert tighter.methods is None or request.method in tighter.methods
            assert tighter.paths is None or any(p.matches(request.path) for p in tighter.paths)
