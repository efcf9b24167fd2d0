"""Reads rule packs: `<pack>/<rule>/rule.rego` with its page and examples, and libraries.

A rule's facts stand in the METADATA comment above its `package`, as OPA defines it, so that one
file carries code and facts. Its entrypoint is the `deny` set of its package: objects with `msg`,
`path` (of the offending key) and, where it differs from the rule's own, `severity`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshwarden.adapters.yaml import load_bytes, parse_document
from meshwarden.kernel import ConfigError, InputError, Node
from meshwarden.kernel.finding import Severity
from meshwarden.policy import gate
from meshwarden.policy.gate.model import Rule

SHIPPED: Final = Path(gate.__file__).parent / "rules"
"""The packs that ship with meshwarden."""

RULE: Final = "rule.rego"
MAX_MODULES: Final = 2000

_PACKAGE = re.compile(r"^package[ \t]+([A-Za-z0-9_.]+)", re.MULTILINE)
_METADATA = re.compile(r"^# METADATA[ \t]*\n((?:#[^\n]*\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Rules and all the modules that they are compiled from, by file name."""

    rules: tuple[Rule, ...]
    modules: tuple[tuple[str, str], ...]

    def __add__(self, other: "RuleSet") -> "RuleSet":
        return RuleSet(rules=self.rules + other.rules, modules=self.modules + other.modules)

    def rule(self, name: str) -> Rule:
        """Return a rule by `pack/name` or name; ConfigError `gate.unknown_rule`."""
        found = [rule for rule in self.rules if name in {rule.id, rule.id.partition("/")[2]}]
        if len(found) != 1:
            what = "no rule" if not found else "more than one rule"
            hint = "`meshwarden rules list` names them"
            raise ConfigError("gate.unknown_rule", f"{what} is called {name!r}", hint=hint)
        return found[0]


def load_rules(folder: Path) -> RuleSet:
    """Return the rules in `folder` and below.

    Any module that has a METADATA comment with `custom.kinds` is a rule; the others are libraries.
    Tests (`*_test.rego`) are left out.

    Raises:
        ConfigError: `gate.rules` where there is no folder, or too many modules in it.
        InputError: `rules.*`, with file and line, where a rule's facts are wrong.
    """
    if not folder.is_dir():
        raise ConfigError("gate.rules", f"{folder} is no folder of rules", hint="see --rules")
    files = sorted(path for path in folder.rglob("*.rego") if not path.name.endswith("_test.rego"))
    if not files or len(files) > MAX_MODULES:
        text = f"{folder} holds {len(files)} Rego modules"
        raise ConfigError("gate.rules", text, hint=f"1 to {MAX_MODULES} are accepted")
    rules: list[Rule] = []
    modules: list[tuple[str, str]] = []
    for path in files:
        text = _text(path)
        modules.append((str(path), text))
        rules.extend(_rules_in(path, text))
    return RuleSet(rules=tuple(rules), modules=tuple(modules))


def _text(path: Path) -> str:
    try:
        return load_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError("rules.encoding", "not in UTF-8", where=f"{path}:1") from error


def _rules_in(path: Path, text: str) -> Iterator[Rule]:
    package = _PACKAGE.search(text)
    if package is None:
        raise InputError("rules.package", "no package is declared", where=f"{path}:1")
    comment = _METADATA.search(text)
    if comment is None:
        if path.name == RULE:
            raise InputError("rules.metadata", "no METADATA comment", where=f"{path}:1")
        return
    body = "".join(line[1:].removeprefix(" ") + "\n" for line in comment[1].splitlines())
    padding = "\n" * (text.count("\n", 0, comment.start()) + 1)  # so that errors name the line
    yield _parse_rule(parse_document((padding + body).encode(), name=str(path)), package[1], path)


def _parse_rule(document: Node, package: str, path: Path) -> Rule:
    top = document.fields(
        required=["title", "custom"],
        optional=["description", "scope", "authors", "related_resources", "entrypoint"],
    )
    custom = top["custom"].fields(
        required=["severity", "kinds"], optional=["fix", "controls", "redact", "needs"]
    )
    names = package.split(".")
    folder = path.parent if path.name == RULE else None
    name = folder.name if folder else names[-1].replace("_", "-")
    pack = names[-2] if len(names) > 1 else "rules"
    fix, controls, redact = custom.get("fix"), custom.get("controls"), custom.get("redact")
    needs = custom.get("needs")
    page = path.with_name("page.md") if folder else path.with_suffix(".md")
    return Rule(
        id=f"{pack}/{name}",
        entrypoint="/".join([*names, "deny"]),
        title=top["title"].text(),
        severity=_severity(custom["severity"]),
        kinds=frozenset(custom["kinds"].texts()),
        fix=fix.text() if fix else "",
        controls=tuple(controls.texts()) if controls else (),
        page=_text(page) if page.is_file() else "",
        needs=_pattern(needs) if needs else None,
        redact=redact.boolean() if redact else False,
        where=str(path),
    )


def _pattern(node: Node) -> re.Pattern[str]:
    try:
        return re.compile(node.text(), re.MULTILINE)
    except re.error as error:
        node.refuse("rules.needs", f"no regular expression: {error}", hint="Python's syntax")


def _severity(node: Node) -> Severity:
    text = node.text()
    if text not in set(Severity):
        node.refuse("rules.severity", f"{text!r} is no severity", hint=" | ".join(Severity))
    return Severity(text)
