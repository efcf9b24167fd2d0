"""Tests rules by their examples: what should fire does, and what should not is quiet.

`fires.yaml` and `quiet.yaml` stand beside `rule.rego`; `settings.yaml` holds the lists that they
need. In `fires.yaml` every document must have a finding, unless its first line is `# context`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from meshwarden.adapters.rego import RuleSet
from meshwarden.adapters.yaml import load_document
from meshwarden.control.gate.run import Gate, judge_paths
from meshwarden.kernel import Node
from meshwarden.policy.gate.model import Report, Rule
from meshwarden.policy.gate.settings import LISTS, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example file of a rule and its outcome; `why` is empty where it is as it should be."""

    rule: str
    where: str
    why: str


def run_examples(rules: RuleSet, chosen: Rule, today: date) -> Iterator[Example]:
    """Yield the outcome of the examples of `chosen`, judged by `rules`."""
    folder = Path(chosen.where).parent
    for name, check in (("fires.yaml", _silent), ("quiet.yaml", _loud)):
        path = folder / name
        if not path.is_file():
            yield Example(rule=chosen.id, where=str(path), why="there is no such example")
            continue
        gate = Gate(rules=rules, settings=_settings(folder), today=today)
        report = judge_paths(gate, [str(path)])
        why = "; ".join(f"{one.where}: {one.message}" for one in report.problems)
        yield Example(rule=chosen.id, where=str(path), why=why or check(report, chosen, path))


def _settings(folder: Path) -> Settings:
    path = folder / "settings.yaml"
    if not path.is_file():
        return Settings()
    fields: dict[str, Node] = load_document(path).mapping()
    return Settings(lists={name: tuple(fields[name].texts()) for name in LISTS if name in fields})


def _silent(report: Report, rule: Rule, path: Path) -> str:
    """Return which documents have no finding of the rule."""
    found = {finding.line for finding in report.findings if finding.rule == rule.id}
    quiet, first = [], 1
    for text in path.read_text().split("\n---\n"):
        last = first + text.count("\n") + 1
        if not text.startswith("# context") and not any(first <= line <= last for line in found):
            quiet.append(first)
        first = last + 1
    return f"no finding in the document at line {quiet[0]}" if quiet else ""


def _loud(report: Report, rule: Rule, _path: Path) -> str:
    for finding in report.findings:
        if finding.rule == rule.id:
            return f"line {finding.line}: {finding.message}"
    return ""
