"""What holds for every policy and every request."""

import dataclasses
import re
from random import Random  # what hypothesis hands in, seeded

from hypothesis import assume, given
from hypothesis import strategies as st

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import SpiffeId
from meshwarden.policy import (
    AccessPolicy,
    HttpRequest,
    PathPattern,
    Rule,
    Service,
    TokenRequirement,
    decide,
    normalize_path,
    notices,
    parse_policy,
)
from meshwarden.policy.path import CLEAN_PATH, UNCHANGED_PATH, normalize_in_full
from meshwarden.policy.targets.envoy.patterns import expression

CALLEE = SpiffeId.parse("spiffe://bank.example/callee")
CALLERS = [SpiffeId.parse(f"spiffe://bank.example/{name}") for name in "abc"]
METHODS = ["GET", "POST", "PUT"]
CLAIMS = {"scope": "read", "acr": "mfa"}

segments = st.sampled_from(["v1", "a", "b", "{x}", "{y}"])
patterns = st.builds(
    lambda parts, end: PathPattern.parse("/" + "/".join(parts) + end),
    st.lists(segments, min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/**"]),
)
literals = st.lists(
    st.from_regex(r"[A-Za-z0-9_~!$&'()+,;=:@.-]{1,6}", fullmatch=True).filter(
        lambda segment: segment not in {".", ".."} and not segment.startswith((".;", "..;"))
    ),
    min_size=1,
    max_size=4,
).map(lambda parts: PathPattern.parse("/" + "/".join(parts)))
tokens = st.none() | st.sampled_from(
    [TokenRequirement(), TokenRequirement(scopes=("read",)), TokenRequirement(acr="otp")]
)
rule_lists = st.lists(
    st.builds(
        Rule,
        name=st.just(""),
        sources=st.lists(st.sampled_from(CALLERS), min_size=1, unique=True).map(tuple),
        methods=st.none() | st.frozensets(st.sampled_from(METHODS), min_size=1),
        paths=st.none() | st.lists(patterns, min_size=1, max_size=3, unique=True).map(tuple),
        tcp=st.none(),
        token=tokens,
    ),
    min_size=1,
    max_size=5,
)
raw_pieces = st.sampled_from(
    [
        "/",
        "//",
        ".",
        "..",
        ";",
        "%2e",
        "%2F",
        "%41",
        "%",
        "%32",
        "\\",
        "?",
        "#",
        "a",
        "v1",
        "b",
        "|",
        "é",
    ]
)
raw_paths = st.lists(raw_pieces, max_size=8).map(lambda pieces: "/" + "".join(pieces))
plain_paths = st.lists(st.sampled_from(["v1", "a", "b", "c", ""]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
requests = st.builds(
    HttpRequest,
    source=st.sampled_from(CALLERS),
    destination=st.just(CALLEE),
    method=st.sampled_from(METHODS),
    path=plain_paths | raw_paths,
)


def _policy(rules: list[Rule]) -> AccessPolicy:
    named = tuple(
        dataclasses.replace(rule, name=f"callee.accepts[{index}]")
        for index, rule in enumerate(rules)
    )
    services = {"callee": Service(name="callee", identity=CALLEE, accepts=named)}
    services |= {
        caller.path[1:]: Service(name=caller.path[1:], identity=caller) for caller in CALLERS
    }
    return AccessPolicy(trust_domain="bank.example", services=services)


def _allowed(rules: list[Rule], request: HttpRequest) -> bool:
    return decide(_policy(rules), request, CLAIMS).allowed


@given(raw_paths)
def test_normalizing_twice_is_normalizing_once(raw: str) -> None:
    path = normalize_path(raw)
    assume(path is not None)
    assert path is not None
    assert normalize_path(path) == path


@given(raw_paths)
def test_a_normal_form_has_nothing_that_servers_read_in_two_ways(raw: str) -> None:
    path = normalize_path(raw)
    assume(path is not None)
    assert path is not None
    assert re.fullmatch(CLEAN_PATH, path)
    assert not re.search(r"//|\\|[?#]|%2f|%5c|%00|%2e|/\.\.?(;|/|$)", path, re.IGNORECASE)


@given(patterns | literals, requests)
def test_a_compiled_pattern_admits_what_the_pattern_matches_and_clean_paths_alone(
    pattern: PathPattern, request: HttpRequest
) -> None:
    path = request.path.partition("?")[0]
    clean = re.fullmatch(CLEAN_PATH, path) is not None
    admitted = re.fullmatch(expression([pattern]), request.path, re.DOTALL) is not None
    assert admitted == (clean and pattern.matches(path))


@given(literals)
def test_a_literal_path_is_clean_by_construction(pattern: PathPattern) -> None:
    assert normalize_path(pattern.text) == pattern.text == pattern.literal_prefix


@given(raw_paths, st.sampled_from(["", "?", "?x=1", "?/../%2f", "?;/..;/"]))
def test_a_query_never_changes_the_path(raw: str, query: str) -> None:
    assume("?" not in raw)
    assert normalize_path(raw + query) == normalize_path(raw)


@given(rule_lists, requests, st.randoms(use_true_random=False))
def test_the_order_of_rules_never_matters(
    rules: list[Rule], request: HttpRequest, chance: Random
) -> None:
    shuffled = rules.copy()
    chance.shuffle(shuffled)
    assert _allowed(shuffled, request) == _allowed(rules, request)


@given(rule_lists, requests, st.data())
def test_narrowing_a_rule_never_widens_the_policy(
    rules: list[Rule], request: HttpRequest, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(rules) - 1))
    rule = rules[index]
    narrower = data.draw(
        st.sampled_from(
            [
                dataclasses.replace(rule, sources=rule.sources[1:]),
                dataclasses.replace(rule, methods=(rule.methods or frozenset(METHODS)) - {"GET"}),
                dataclasses.replace(rule, paths=(rule.paths or ())[1:]),
                dataclasses.replace(rule, token=TokenRequirement(scopes=("other",))),
            ]
        )
    )
    changed = [*rules[:index], narrower, *rules[index + 1 :]]
    assert _allowed(changed, request) <= _allowed(rules, request)
    assert _allowed(rules[:index] + rules[index + 1 :], request) <= _allowed(rules, request)


@given(rule_lists, requests)
def test_what_is_allowed_is_allowed_by_the_named_rule_alone(
    rules: list[Rule], request: HttpRequest
) -> None:
    decision = decide(_policy(rules), request, CLAIMS)
    assert (decision.rule is not None) == decision.allowed
    if decision.rule is not None:
        number = int(decision.rule.removeprefix("callee.accepts[")[:-1])
        assert _allowed([rules[number]], request)


@given(rule_lists, requests)
def test_a_rule_that_is_said_to_be_shadowed_can_go(rules: list[Rule], request: HttpRequest) -> None:
    shadowed = {
        notice.rule for notice in notices(_policy(rules)) if notice.code == "policy.shadowed"
    }
    kept = [rule for index, rule in enumerate(rules) if f"callee.accepts[{index}]" not in shadowed]
    assert _allowed(kept, request) == _allowed(rules, request)


@given(rule_lists, requests)
def test_the_proposed_change_allows_what_was_refused(
    rules: list[Rule], request: HttpRequest
) -> None:
    decision = decide(_policy(rules), request, CLAIMS)
    assume(decision.fix is not None)
    assert decision.fix is not None
    if not decision.fix.startswith("present "):
        assert _allowed(_applied(rules, decision.fix), request)


def _applied(rules: list[Rule], fix: str) -> list[Rule]:
    """Do to `rules` what `fix` says."""
    if new := re.fullmatch(r"add (\{.*\}) to callee\.accepts", fix):
        head = "apiVersion: meshwarden.dev/v1\ntrust_domain: bank.example\nservices:\n"
        lines = [f"  {name}: {{identity: spiffe://bank.example/{name}}}\n" for name in "abc"]
        callee = f"  callee: {{identity: '{CALLEE}', accepts: [{new[1]}]}}\n"
        document = parse_document((head + "".join(lines) + callee).encode(), name="fix")
        return [*rules, *parse_policy(document).services["callee"].accepts]
    edit = re.fullmatch(r"add (.*) to callee\.accepts\[(\d+)\]\.(from|methods|paths)", fix)
    assert edit
    rule = rules[int(edit[2])]
    if edit[3] == "from":
        caller = SpiffeId.parse("spiffe://bank.example/" + edit[1].strip("'"))
        changed = dataclasses.replace(rule, sources=(*rule.sources, caller))
    elif edit[3] == "methods":
        changed = dataclasses.replace(rule, methods=(rule.methods or frozenset()) | {edit[1]})
    else:
        path = PathPattern.parse(edit[1])
        changed = dataclasses.replace(rule, paths=(*(rule.paths or ()), path))
    return [*rules[: int(edit[2])], changed, *rules[int(edit[2]) + 1 :]]


@given(st.from_regex(UNCHANGED_PATH, fullmatch=True))
def test_a_path_that_is_not_looked_into_would_have_come_out_the_same(path: str) -> None:
    assert normalize_in_full(path) == normalize_path(path) == path
