"""Every action of the catalogue has its page, which says what undoes it and what proves it."""

import re
from pathlib import Path

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.response import CATALOGUE, parse_playbook

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs/reference/actions"
GUIDE = ROOT / "docs/guide/response.md"


def page_of(action: str) -> str:
    return (PAGES / f"{action}.md").read_text()


def said(action: str, label: str) -> str:
    """Return what the page says under one of its bold labels."""
    found = re.search(
        rf"^- \*\*{label}\*\*(.*?)(?=^- \*\*|^```|\Z)", page_of(action), re.MULTILINE | re.DOTALL
    )
    assert found, f"{action}.md has no {label}"
    return found[1]


def test_there_is_a_page_for_each_action_and_none_besides() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(CATALOGUE)


@pytest.mark.parametrize("action", CATALOGUE)
def test_the_page_says_what_it_does_needs_and_does_not(action: str) -> None:
    assert page_of(action).startswith(f"# {action}\n")
    for label in ("Does", "Needs", "Reach", "Probe", "Does not"):
        assert len(said(action, label)) > 20
    assert "Permissions: " in said(action, "Needs")
    for need in CATALOGUE[action].needs:
        assert f"`{need}`" in said(action, "Needs")


@pytest.mark.parametrize("action", CATALOGUE)
def test_the_page_names_the_inverse_or_says_irreversible(action: str) -> None:
    spec = CATALOGUE[action]
    assert spec.probe
    expected = spec.inverse or "irreversible"
    assert expected in said(action, "Inverse")
    assert ("irreversible" in said(action, "Inverse")) != spec.reversible


@pytest.mark.parametrize("action", CATALOGUE)
def test_the_example_is_a_playbook_with_the_action_that_can_work(action: str) -> None:
    [example] = re.findall(r"^```yaml\n(.*?)^```$", page_of(action), re.MULTILINE | re.DOTALL)
    playbook = parse_playbook(parse_document(example.encode(), name=f"{action}.md"))
    assert action in [step.action for step in playbook.steps]


@pytest.mark.parametrize("action", CATALOGUE)
def test_the_guide_leads_to_the_page(action: str) -> None:
    assert f"../reference/actions/{action}.md" in GUIDE.read_text()
