"""What every rule of the gate owes: a page, facts, an example that fires, one that is quiet."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from meshwarden.adapters.rego import SHIPPED, RuleSet, load_rules
from meshwarden.adapters.rego.unit import run_tests
from meshwarden.control.gate import Gate, judge_paths
from meshwarden.control.gate.examples import run_examples
from meshwarden.policy.gate.model import Report, Rule

RULES = load_rules(SHIPPED)
TODAY = date(2026, 11, 25)
PAGE = (Path(__file__).parents[2] / "docs/reference/gate.md").read_text()
EXPLAINED = set(re.findall(r"^\| ((?:PCI DSS|GDPR|CIS) [^|]+) \|", PAGE, re.MULTILINE))
"""The controls on the reference page: those whose numbers were compared with their text."""

EACH = pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
pytestmark = pytest.mark.timeout(600)


@EACH
def test_its_examples_fire_and_are_quiet(rule: Rule) -> None:
    outcomes = list(run_examples(RULES, rule, TODAY))
    assert len(outcomes) == 2
    assert [one for one in outcomes if one.why] == []


@EACH
def test_its_page_says_why_how_to_fix_and_what_is_a_false_positive(rule: Rule) -> None:
    assert rule.page.startswith(f"# {rule.id}: {rule.title}\n")
    for heading in ("## Why", "## How to fix", "## False positives"):
        text = rule.page.partition(f"{heading}\n")[2].partition("\n## ")[0]
        assert len(text.split()) > 5, heading


@EACH
def test_it_names_a_fix_and_controls_by_standard(rule: Rule) -> None:
    assert rule.fix
    assert rule.controls
    assert set(rule.controls) <= EXPLAINED


def test_no_control_is_explained_that_no_rule_names() -> None:
    assert {one for rule in RULES.rules for one in rule.controls} == EXPLAINED


@EACH
def test_its_package_is_its_folder(rule: Rule) -> None:
    folder = Path(rule.where).parent
    assert rule.id == f"{folder.parent.name}/{folder.name}"
    assert rule.entrypoint == f"meshwarden/{rule.id.replace('-', '_')}/deny"


def test_what_a_rule_needs_hides_no_finding() -> None:
    everything = tuple(replace(rule, needs=None) for rule in RULES.rules)
    paths = [
        str(path) for path in sorted(SHIPPED.rglob("*.yaml")) if path.stem in {"fires", "quiet"}
    ]

    def found(rules: RuleSet) -> set[tuple[str, int, str, str]]:
        report: Report = judge_paths(Gate(rules=rules, today=TODAY), paths)
        assert report.problems == ()
        return {(one.source, one.line, one.rule, one.message) for one in report.findings}

    hinted = found(RULES)
    assert hinted == found(RuleSet(rules=everything, modules=RULES.modules))
    assert len(hinted) > 200


def test_the_rego_unit_tests_pass() -> None:
    outcomes = list(run_tests(SHIPPED, RULES.modules))
    assert len(outcomes) >= 8
    assert [one for one in outcomes if one.why] == []
