from tests.unit.policy.traffic_cases import call, observed, policy_of

from meshwarden.policy.traffic.unused import find_unused, rule_text

EVERYTHING = [
    call(),
    call("/v1/accounts/{}", "POST", source="payments"),
    call("/v1/reports/**"),
    call("/v1/accounts/7/limit", "PUT", source="payments"),
    call("/v1/accounts/{}", "DELETE", source="payments"),
    call(tcp=5432, source="payments"),
    call(source="payments", destination="external:cards.example"),
]


def test_a_policy_whose_grants_were_all_used_has_nothing_loose() -> None:
    assert not find_unused(policy_of(), observed(*EVERYTHING))


def test_unused_callers_methods_paths_and_hosts_are_named_with_a_tighter_rule() -> None:
    policy = policy_of()
    found = find_unused(policy, observed(call()))
    first = found.loose[0]
    assert [each.path for each in first.callers] == ["/payments"]
    assert (first.methods, first.paths) == (("POST",), ("/v1/reports/**",))
    assert first.proposal is not None
    assert rule_text(first.proposal, policy) == (
        '- from: [gateway]\n  methods: [GET]\n  paths: ["/v1/accounts/{id}"]'
    )
    assert [loose.proposal for loose in found.loose[1:]] == [None] * 3
    assert [host.host for _, host in found.hosts] == ["cards.example"]


def test_a_pattern_wider_than_its_traffic_is_narrowed() -> None:
    calls = [*EVERYTHING[:2], *EVERYTHING[3:], call("/v1/reports/daily")]
    (loose,) = find_unused(policy_of(), observed(*calls)).loose
    assert loose.wider == (("/v1/reports/**", ("/v1/reports/daily",)),)


def test_denied_calls_use_nothing_and_what_may_be_used_stays() -> None:
    policy = policy_of()
    assert find_unused(policy, observed(call(denied=True))).loose[0].proposal is None
    unclear = observed(*EVERYTHING[1:], call(None, None))
    assert not find_unused(policy, unclear).loose


def test_a_token_stays_in_the_proposal() -> None:
    policy = policy_of()
    text = rule_text(policy.services["ledger"].accepts[2], policy)
    assert text.endswith("token: {scopes: [close]}")
