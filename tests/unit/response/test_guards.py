from dataclasses import replace

import pytest
from tests.unit.response.world import BANK, LEDGER, PAYMENTS

from meshwarden.adapters.yaml import parse_document
from meshwarden.kernel import InputError
from meshwarden.response import GuardRails, ServiceFacts, Suspect, judge, parse_guard_rails
from meshwarden.response.guards import Verdict, World


def said(verdict: Verdict) -> set[str]:
    return {one.rail for one in verdict.rulings if one.outcome != "pass"}


def asked(
    action: str = "quarantine",
    suspect: Suspect = PAYMENTS,
    world: World = BANK,
    rails: GuardRails | None = None,
    *,
    automatic: bool = True,
    already_contained: bool = False,
) -> Verdict:
    return judge(
        action,
        suspect,
        world,
        rails or GuardRails(),
        automatic=automatic,
        already_contained=already_contained,
    )


def test_one_of_three_instances_is_quarantined_without_asking() -> None:
    assert said(asked()) == set()
    assert asked().approvals == 0


def test_the_last_healthy_instance_of_a_tier_0_service_needs_a_person() -> None:
    verdict = asked(suspect=LEDGER)
    assert said(verdict) == {"last-instance"}
    assert (verdict.approvals, verdict.stopped) == (1, False)
    assert "last healthy instance of ledger (tier 0)" in verdict.reason


def test_an_unhealthy_second_instance_does_not_count() -> None:
    facts = ServiceFacts(tier=0, instances=2, healthy=1)
    assert said(asked(suspect=LEDGER, world=World(services={"ledger": facts}))) == {"last-instance"}


def test_an_unknown_service_is_never_touched() -> None:
    verdict = asked(world=World())
    assert verdict.stopped
    assert said(verdict) == {"known"}


def test_the_warden_never_acts_on_itself_not_even_with_approval() -> None:
    world = replace(BANK, warden=frozenset({PAYMENTS.identity}))
    assert asked(world=world, automatic=False).stopped
    assert not asked("notify", world=world).stopped


def test_after_too_many_automatic_actions_only_people_act() -> None:
    world = replace(BANK, actions_last_hour=20)
    assert asked(world=world).stopped
    assert said(asked(world=world)) == {"circuit"}
    assert said(asked(world=world, automatic=False)) == set()
    assert said(asked("notify", world=world)) == set()


def test_the_blast_radius_is_bounded_in_the_mesh_and_in_each_service() -> None:
    assert said(asked(world=replace(BANK, contained=2))) == {"max-contained"}
    crowd = World(services={"payments": ServiceFacts(instances=4, healthy=2, contained=2)})
    assert said(asked(world=crowd)) == {"max-share"}


def test_what_is_cut_off_already_takes_nothing_more_away() -> None:
    crowded = replace(BANK, contained=5)
    assert said(asked("replace", LEDGER, crowded, already_contained=True)) == set()


def test_credentials_are_no_blast_radius_but_count_for_the_circuit() -> None:
    assert said(asked("revoke-sessions", LEDGER)) == set()
    assert asked("revoke-sessions", world=replace(BANK, actions_last_hour=99)).stopped


def test_protected_identities_and_actions_for_two() -> None:
    rails = GuardRails(protected=frozenset({PAYMENTS.identity}))
    assert asked(rails=rails).approvals == 1
    rails = GuardRails(two_people=frozenset({"replace"}))
    assert asked("replace", rails=rails).approvals == 2


def parse(text: str) -> GuardRails:
    raw = f"apiVersion: meshwarden.dev/v1\nguard_rails:\n{text}".encode()
    return parse_guard_rails(parse_document(raw, name="rails.yaml"))


def test_a_file_sets_each_limit() -> None:
    rails = parse(
        "  max_contained: 0\n  max_share: 0.25\n  last_instance_tiers: [0, 1]\n"
        "  max_actions_per_hour: 3\n  protected: [spiffe://bank.example/idp]\n"
        "  two_people: [replace]\n"
    )
    assert rails == GuardRails(
        max_contained=0,
        max_share=0.25,
        last_instance_tiers=frozenset({0, 1}),
        max_actions_per_hour=3,
        protected=frozenset({"spiffe://bank.example/idp"}),
        two_people=frozenset({"replace"}),
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("  max_contained: -1\n", "document.type"),
        ("  max_share: 2\n", "document.type"),
        ("  protected: [ledger]\n", "guards.identity"),
        ("  two_people: [isolate]\n", "guards.unknown_action"),
        ("  maximum: 3\n", "document.unknown_key"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_with_its_line(text: str, code: str) -> None:
    with pytest.raises(InputError) as refused:
        parse(text)
    assert refused.value.code == code
    assert refused.value.where == "rails.yaml:3"
