"""What the README shows is what the program says, and what its links point to exists."""

import re
from pathlib import Path

import pytest

from meshwarden.cli import run

ROOT = Path(__file__).parents[3]
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").rglob("*.md"),
]


def blocks(page: Path, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for name, text in fenced if name == language]


def test_the_policy_and_the_decision_in_the_readme_are_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = ROOT / "README.md"
    [policy] = [text for text in blocks(readme, "yaml") if "trust_domain" in text]
    (tmp_path / "access.yaml").write_text(policy)
    monkeypatch.chdir(tmp_path)
    [shown] = [text for text in blocks(readme, "") if text.startswith("$ meshwarden policy decide")]
    command, _, expected = shown.partition("\n")
    assert run(command.removeprefix("$ meshwarden ").split()) == 1
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "arguments", [[], ["demo"], ["up"], ["serve"], ["policy"], ["policy", "decide"], ["calls"]]
)
def test_every_command_explains_itself(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--help"]) == 0
    assert "Usage: meshwarden" in capsys.readouterr().out


def test_an_unknown_command_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["nonsense"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
