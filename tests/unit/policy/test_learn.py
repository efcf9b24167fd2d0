import pytest
from tests.unit.policy.traffic_cases import DOMAIN, call, observed, policy_of

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import Call, SpiffeId
from meshwarden.policy import parse_policy
from meshwarden.policy.edit import quoted
from meshwarden.policy.traffic import Verdict, replay
from meshwarden.policy.traffic.learn import learn
from meshwarden.policy.traffic.learn_text import name_services, render_learned
from meshwarden.policy.traffic.learned import Learned, LearnSettings
from meshwarden.policy.traffic.templates import learn_patterns

LEDGER = SpiffeId.parse(DOMAIN + "ledger")


def rules(learned: Learned) -> list[tuple[list[str], tuple[str, ...], list[str]]]:
    service = learned.services.get(LEDGER)
    return [
        ([s.path[1:] for s in rule.sources], rule.methods, [p.text for p in rule.paths])
        for rule in (service.rules if service else [])
    ]


def test_callers_methods_and_paths_join_only_without_widening() -> None:
    calls = [call("/a"), call("/b"), call("/a", source="payments"), call("/b", "POST")]
    assert rules(learn(observed(*calls))) == [
        (["gateway", "payments"], ("GET",), ["/a"]),
        (["gateway"], ("GET", "POST"), ["/b"]),
    ]


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (call(denied=True), "denied"),
        (call(mtls=False), "the caller's identity was not proved"),
        (call(source="unknown"), "the caller is not known"),
        (call("/x", "get"), "no rule can be written for its method and path"),
        (call("/x#y"), "no rule can be written for its method and path"),
        (call(destination="spiffe://other.example/x"), "the callee is of another trust domain"),
        (
            call(source="payments", destination="external:[::1]"),
            "no rule can be written for its host",
        ),
    ],
)
def test_what_teaches_nothing_is_listed(left_out: Call, reason: str) -> None:
    learned = learn(observed(call("/known"), call("/known"), left_out))
    assert rules(learned) == [(["gateway"], ("GET",), ["/known"])]
    assert [why for _, why in learned.left_out] == [reason]


def test_unproven_callers_teach_only_when_told() -> None:
    assert rules(learn(observed(call("/x", mtls=False)), LearnSettings(unproven=True)))


def test_suspected_combinations_teach_nothing() -> None:
    seen = observed(call("/x"), call("/y"))
    settings = LearnSettings(suspects=frozenset({seen[0].name}))
    assert rules(learn(seen, settings)) == [(["gateway"], ("GET",), ["/y"])]


def test_too_few_calls_or_days_are_left_out() -> None:
    calls = observed(call("/often"), call("/often", at=2), call("/once"))
    assert rules(learn(calls, LearnSettings(min_calls=2)))[0][2] == ["/often"]
    assert rules(learn(calls, LearnSettings(min_days=2)))[0][2] == ["/often"]
    assert rules(learn(calls, LearnSettings(min_days=3))) == []


@pytest.mark.parametrize(
    ("routes", "patterns"),
    [
        (["/a/1", "/a/2", "/a/3"], ["/a/{id}"]),
        (["/a/1", "/a/2"], ["/a/1", "/a/2"]),
        (["/a/1/x", "/a/2/y", "/a/3/z"], ["/a/1/x", "/a/2/y", "/a/3/z"]),
        (["/a/1/b/7", "/a/2/b/8", "/a/3/b/9"], ["/a/{id}/b/{id2}"]),
        (["/a/1/b/7", "/a/2/b/7", "/a/3/b/7"], ["/a/{id}/b/7"]),
        (["/a/{}"], ["/a/{id}"]),
        (["/a/{}/**"], ["/a/{id}/**"]),
        (["/a/me", "/a/you", "/a/them"], ["/a/me", "/a/them", "/a/you"]),
        ([f"/u/{chr(97 + n)}x" for n in range(20)], ["/u/{id}"]),
        ([f"/{chr(97 + n)}x" for n in range(20)], [f"/{chr(97 + n)}x" for n in range(20)]),
        (["/"], ["/"]),
        (["/a%20b"], ["/{id}"]),
    ],
)
def test_patterns_are_as_wide_as_several_examples_support(
    routes: list[str], patterns: list[str]
) -> None:
    assert sorted({found.text for found in learn_patterns(routes).values()}) == patterns


@pytest.mark.parametrize("route", ["", "x", "/a/../%2f", "/\x00", "/a\\..\\{}", "/" + "a/" * 2000])
def test_hostile_routes_are_passed_over(route: str) -> None:
    for found in learn_patterns([route, "/ok"]).values():
        assert found.text.startswith("/")


def test_the_learned_text_is_a_policy_that_allows_what_it_learned_from() -> None:
    calls = [call(f"/a/{n}") for n in range(5)]
    calls += [call(tcp=5432), call("/x", source="external:c"), call(source="spiffe://p.example/q")]
    calls += [call(source="payments", destination="external:cards.example")]
    seen = observed(*calls)
    learned = learn(seen)
    text = render_learned(learned, name_services(learned.services, {}))
    policy = parse_policy(parse_document(text.encode(), name="learned"))
    found = replay(seen, policy)
    assert found.verdicts == {Verdict.ALLOWED: 8, Verdict.NOT_JUDGED: 1}
    assert policy.services["ledger"].edge
    assert "# learned: 5 calls on 1 day" in text


def test_what_a_policy_allows_already_is_not_learned() -> None:
    base = policy_of()
    calls = observed(call(), call("/new"), call("/v1/accounts/{}", "DELETE", source="payments"))
    assert rules(learn(calls, base=base)) == [(["gateway"], ("GET",), ["/new"])]


def test_names_are_unique_and_names() -> None:
    texts = ["a/x", "b/x", "c/x", "ns/core/sa/UPPER_case", "..a", "x.y"]
    identities = [SpiffeId.parse(DOMAIN + text) for text in texts]
    names = name_services(identities, {identities[0]: "x"})
    assert len(set(names.values())) == len(texts)
    assert names[identities[0]] == "x"


@pytest.mark.parametrize(
    "text", ["true", "1e3", "GET", "/a/{id}", "a: b", "null", "~", "x#y", "M-S"]
)
def test_quoted_scalars_are_read_back_as_text(text: str) -> None:
    assert parse_document(f"a: {quoted(text)}".encode(), name="x").mapping()["a"].value == text
