"""`meshwarden rules`: the gate's rules: list, explain, test."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from meshwarden.adapters.clock import SystemClock
from meshwarden.adapters.rego import SHIPPED, RuleSet, load_rules
from meshwarden.adapters.rego.rules import RULE
from meshwarden.adapters.rego.unit import run_tests
from meshwarden.cli.gate import all_rules
from meshwarden.control.gate.examples import run_examples
from meshwarden.kernel import ConfigError
from meshwarden.policy.gate.model import Rule

app = App(
    name="rules",
    help="The rules of the gate: list, explain, test.",
    help_epilogue="Example: meshwarden rules explain mtls-not-strict",
    help_format="plaintext",
    result_action="return_value",
)

Json = Annotated[bool, Parameter(name="--json", negative="")]


@app.command(name="list", help_epilogue="Example: meshwarden rules list --rules our-rules/ --json")
def list_command(*, rules: tuple[Path, ...] = (), json: Json = False) -> int:
    """List the rules: severity, name, title.

    Args:
        rules: folder of rules of your own; may be given several times.
        json: print one JSON object.
    """
    found = all_rules(rules).rules
    if json:
        print(jsonlib.dumps({"rules": [_fields(rule) for rule in found]}, indent=1))
        return 0
    width = max(len(rule.id) for rule in found)
    for rule in found:
        print(f"{rule.severity:8} {rule.id:{width}} {rule.title}")
    return 0


@app.command(help_epilogue="Example: meshwarden rules explain workload/privileged")
def explain(name: str, *, rules: tuple[Path, ...] = (), json: Json = False) -> int:
    """Explain a rule: why, how to fix it, false positives, controls.

    Args:
        name: of the rule, with or without its pack.
        rules: folder of rules of your own; may be given several times.
        json: print one JSON object.
    """
    rule = all_rules(rules).rule(name)
    if json:
        print(jsonlib.dumps({**_fields(rule), "page": rule.page}, indent=1))
        return 0
    print(rule.page or f"# {rule.id}: {rule.title}\n")
    print(f"Severity: {rule.severity}\nAbout: {', '.join(sorted(rule.kinds))}")
    print(f"Fix: {rule.fix}")
    print("Controls: " + ("; ".join(rule.controls) or "none"))
    return 0


@app.command(name="test", help_epilogue="Example: meshwarden rules test our-rules/")
def check(folder: Path | None = None, *, json: Json = False) -> int:
    """Test rules: their Rego unit tests, and their firing and quiet examples.

    Args:
        folder: of the rules; those that ship, if it is left out.
        json: print one JSON object.
    """
    chosen = load_rules(folder or SHIPPED)
    known = chosen if folder is None else load_rules(SHIPPED) + chosen
    outcomes = _outcomes(folder or SHIPPED, chosen, known)
    if not outcomes:
        raise ConfigError("rules.no_tests", "there is nothing to test", hint="add *_test.rego")
    failed = [one for one in outcomes if one["why"]]
    if json:
        print(jsonlib.dumps({"tests": outcomes, "failed": len(failed)}, indent=1))
    else:
        for one in failed:
            print(f"{one['where']}: {one['name']}: failed: {one['why']}")
        print(f"{len(outcomes)} tests, {len(failed)} failed")
    return int(bool(failed))


def _outcomes(folder: Path, chosen: RuleSet, known: RuleSet) -> list[dict[str, str]]:
    found = [
        {"where": one.where, "name": one.name, "why": one.why}
        for one in run_tests(folder, known.modules)
    ]
    today = SystemClock().now().date()
    for rule in chosen.rules:
        if Path(rule.where).name == RULE:
            found += [
                {"where": one.where, "name": one.rule, "why": one.why}
                for one in run_examples(known, rule, today)
            ]
    return found


def _fields(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "title": rule.title,
        "severity": rule.severity,
        "kinds": sorted(rule.kinds),
        "fix": rule.fix,
        "controls": list(rule.controls),
    }
