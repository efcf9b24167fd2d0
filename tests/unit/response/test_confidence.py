import pytest
from tests.unit.response.world import finding

from meshwarden.kernel import Severity
from meshwarden.response import phase_of, probability_of


def test_without_findings_it_is_the_prior_and_surprise_moves_it() -> None:
    assert probability_of([]) == pytest.approx(1e-3)
    assert probability_of([finding(p=0.5)]) == pytest.approx(1e-3)
    assert probability_of([finding(p=1e-4)]) < 0.5
    assert probability_of([finding(p=1e-9)]) > 0.99


def test_the_same_kind_a_hundred_times_is_the_same_evidence() -> None:
    once = probability_of([finding(p=1e-4)])
    assert probability_of([finding(p=1e-4)] * 100) == once
    both = [finding(p=1e-4), finding(code="risk.address", p=1e-4)]
    assert probability_of(both) > once


def test_one_model_counts_once_by_the_rarest_that_it_saw() -> None:
    flood = [finding(code=f"behaviour.{one}", p=p) for one, p in (("edge", 4e-3), ("hour", 3e-4))]
    assert probability_of(flood) == probability_of([finding(p=3e-4)]) < 0.5


def test_facts_of_several_kinds_add_up() -> None:
    facts = [finding(code=f"tokens.{one}", p=None) for one in ("replayed", "elsewhere")]
    assert probability_of(facts) > probability_of(facts[:1])


def test_no_single_kind_is_certain_however_small_its_p_value() -> None:
    assert probability_of([finding(p=0.0)]) == probability_of([finding(p=1e-200)])
    assert probability_of([finding(p=0.0)]) < 0.9999


def test_facts_count_by_their_severity() -> None:
    fact = finding(p=None)
    assert fact.severity is Severity.HIGH
    assert 0.1 < probability_of([fact]) < 0.9


def test_the_phase_is_the_latest_that_the_techniques_speak_of() -> None:
    assert phase_of([]) is None
    assert phase_of([finding()]) == "exfiltration"


def test_failures_alone_cut_nobody_off_and_do_not_hide_what_is_worse() -> None:
    failures = finding(code="behaviour.failures", p=1e-9)
    assert probability_of([failures]) < 0.5
    assert probability_of([failures, finding(p=1e-9)]) == probability_of([finding(p=1e-9)])
