"""The compiled form answers as the reference does; a difference is exact and complete."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwarden.kernel import SpiffeId
from meshwarden.policy import (
    AccessPolicy,
    Connection,
    HttpRequest,
    PathPattern,
    Rule,
    Service,
    TokenRequirement,
    decide,
    normalize_path,
)
from meshwarden.policy.match import Claims
from meshwarden.policy.reach import Change, ChangeKind, CompiledPolicy, diff_policies

CALLEE = SpiffeId.parse("spiffe://bank.example/callee")
CALLERS = [SpiffeId.parse(f"spiffe://bank.example/{name}") for name in "ab"]
CLAIMS = [
    None,
    {},
    {"scope": "read"},
    {"scope": "read write"},
    {"acr": "otp"},
    {"scope": "read write", "acr": "otp", "req_wl": str(CALLERS[0])},
]


def _policy(rules: list[Rule]) -> AccessPolicy:
    named = tuple(
        dataclasses.replace(rule, name=f"callee.accepts[{index}]")
        for index, rule in enumerate(rules)
    )
    services = {"callee": Service(name="callee", identity=CALLEE, accepts=named)}
    return AccessPolicy(trust_domain="bank.example", services=services)


patterns = st.builds(
    lambda parts, end: PathPattern.parse("/" + "/".join(parts) + end),
    st.lists(st.sampled_from(["a", "b", "7", "{x}"]), min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/**"]),
) | st.sampled_from(["/", "/**"]).map(PathPattern.parse)
tokens = st.none() | st.builds(
    TokenRequirement,
    scopes=st.sampled_from([(), ("read",), ("read", "write")]),
    acr=st.sampled_from([None, "otp"]),
    bound=st.booleans(),
)
request_rules = st.builds(
    Rule,
    name=st.just(""),
    sources=st.lists(st.sampled_from(CALLERS), min_size=1, unique=True).map(tuple),
    methods=st.none() | st.frozensets(st.sampled_from(["GET", "POST"]), min_size=1),
    paths=st.none() | st.lists(patterns, min_size=1, max_size=3, unique=True).map(tuple),
    token=tokens,
)
port_rules = st.builds(
    Rule,
    name=st.just(""),
    sources=st.lists(st.sampled_from(CALLERS), min_size=1, unique=True).map(tuple),
    tcp=st.sampled_from([1, 2]),
)
policies = st.lists(request_rules | port_rules, max_size=5).map(_policy)
requests = st.builds(
    HttpRequest,
    source=st.sampled_from(CALLERS),
    destination=st.just(CALLEE),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=st.lists(st.sampled_from(["a", "b", "7", "c", "..", "%41", ""]), max_size=4).map(
        lambda parts: "/" + "/".join(parts)
    ),
)
connections = st.builds(
    Connection,
    source=st.sampled_from(CALLERS),
    destination=st.just(CALLEE),
    port=st.sampled_from([1, 2, 3]),
)
claims = st.sampled_from(CLAIMS)


@settings(max_examples=300)
@given(policies, requests | connections, claims)
def test_the_compiled_form_gives_the_reference_answer_and_rule(
    policy: AccessPolicy, asked: HttpRequest | Connection, held: Claims | None
) -> None:
    wanted, found = decide(policy, asked, held), CompiledPolicy(policy).decide(asked, held)
    assert (found.allowed, found.rule, found.reason) == (
        wanted.allowed,
        wanted.rule,
        wanted.reason,
    )


@settings(max_examples=300)
@given(policies, policies)
def test_every_example_really_differs(old: AccessPolicy, new: AccessPolicy) -> None:
    for change in diff_policies(old, new).changes:
        asked, held = _example(change)
        assert decide(new, asked, held).allowed == change.gained
        assert decide(old, asked, held).allowed != change.gained


@settings(max_examples=600)
@given(policies, policies, requests | connections, claims)
def test_a_request_differs_only_where_a_change_says_so(
    old: AccessPolicy, new: AccessPolicy, asked: HttpRequest | Connection, held: Claims | None
) -> None:
    before, after = decide(old, asked, held).allowed, decide(new, asked, held).allowed
    changes = diff_policies(old, new).changes
    reported = [change for change in changes if _is_in(change, asked, held)]
    if before != after:
        assert any(change.gained == after for change in reported)


@settings(max_examples=200)
@given(policies, st.data())
def test_a_policy_does_not_differ_from_itself_in_another_order(
    policy: AccessPolicy, data: st.DataObject
) -> None:
    rules = data.draw(st.permutations(policy.services["callee"].accepts))
    assert diff_policies(policy, _policy(list(rules))).changes == ()


@settings(max_examples=300)
@given(policies, policies)
def test_what_is_gained_one_way_is_lost_the_other(old: AccessPolicy, new: AccessPolicy) -> None:
    there, back = diff_policies(old, new), diff_policies(new, old)
    assert len(there.gained) == len(back.lost)
    assert len(there.lost) == len(back.gained)


def _example(change: Change) -> tuple[HttpRequest | Connection, Claims | None]:
    assert change.source is not None
    assert change.destination is not None
    if change.kind is ChangeKind.CONNECTIONS:
        port = change.port or 0
        return Connection(source=change.source, destination=change.destination, port=port), None
    request = HttpRequest(
        source=change.source,
        destination=change.destination,
        method=change.example_method,
        path=change.example_path,
    )
    return request, change.example_claims


def _is_in(change: Change, asked: HttpRequest | Connection, held: Claims | None) -> bool:
    """Return whether what the change reports holds the request, read as a rule of its own."""
    if change.source is None or (change.kind is ChangeKind.CONNECTIONS) != isinstance(
        asked, Connection
    ):
        return False
    rule = Rule(
        name="change",
        sources=(change.source,),
        methods=None if change.methods is None else frozenset(change.methods),
        paths=None if change.paths is None else (PathPattern.parse(change.paths),),
        token=change.token,
        tcp=change.port,
    )
    if isinstance(asked, HttpRequest) and (
        normalize_path(asked.path) is None or asked.method in change.not_methods
    ):
        return False
    return decide(_policy([rule]), asked, held).allowed
