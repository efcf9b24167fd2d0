"""The same rules, run by the embedded engine, by OPA and by conftest, say the same of each example."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshwarden.adapters.manifests import parse_documents
from meshwarden.adapters.rego import SHIPPED, load_rules
from meshwarden.adapters.rego.engine import ALL, Engine, Program
from meshwarden.policy.gate.context import context_of, index
from meshwarden.policy.gate.model import CONTEXT, Document, Family, Subject
from meshwarden.policy.gate.settings import LISTS
from meshwarden.policy.gate.subjects import subjects_of

RULES = load_rules(SHIPPED)
DATA = {
    "settings": {
        **{name: [] for name in LISTS},
        "allowed_hosts": ["api.partner.example", "*.bank.example"],
        "registries": ["registry.bank.example", "ghcr.io/bank"],
    }
}
Answers = list[dict[str, list[str]]]
pytestmark = pytest.mark.timeout(600)

HOSTILE: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 'a"b\\n'}, "spec": {"containers": [
        {"name": 'quo"te\\', "image": 'x"y', "securityContext": {"privileged": True},
         "env": [{"name": "A_URL", "value": 'https://a.vendor.com/"x\nhttps://b.vendor.com'}]}]}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": None, "spec": {"containers": "none"}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": 7}, "spec": {"ports": {"a": 1}}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [
        None, 3, {"name": None, "image": 4, "env": [None, {"name": 1, "value": 2}]}]}}}},
]  # fmt: skip


def inputs() -> Iterator[dict[str, Any]]:
    for path in sorted(SHIPPED.rglob("*.yaml")):
        if path.stem in {"fires", "quiet"}:
            subjects = [
                one
                for document in parse_documents(path.read_bytes(), str(path))
                if isinstance(document, Document)
                for one in subjects_of(document)
                if isinstance(one, Subject) and one.family is not Family.ACCESS_POLICY
            ]
            world = index(subjects)
            for one in subjects:
                yield {**one.value, CONTEXT: context_of(one, world)}
    yield from HOSTILE


INPUTS = list(inputs())


def rendered(answer: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        rule: sorted(json.dumps(one, sort_keys=True) for one in found)
        for rule, found in answer.items()
        if found
    }


@pytest.fixture(scope="module")
def embedded() -> Answers:
    entrypoints = [rule.entrypoint for rule in RULES.rules]
    engine = Engine(Program(modules=RULES.modules, data=DATA, entrypoints=entrypoints))
    answers = []
    for value in INPUTS:
        engine.set_input(value, range(len(entrypoints)))
        found = engine.query(ALL) or {}
        answers.append(rendered({RULES.rules[int(n)].id: raw for n, raw in found.items()}))
    return answers


def rules_without_examples(folder: Path) -> Path:
    for name, source in RULES.modules:
        target = folder / "rules" / Path(name).relative_to(SHIPPED)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source)
    return folder / "rules"


def test_opa_gives_the_same_answers(embedded: Answers, tmp_path: Path) -> None:
    opa = shutil.which("opa") or pytest.skip("opa is not on the PATH")
    (tmp_path / "data.json").write_text(json.dumps({**DATA, "inputs": INPUTS}))
    query = "[r | some value in data.inputs; r := data.meshwarden with input as value]"
    files = ["-d", str(rules_without_examples(tmp_path)), "-d", str(tmp_path / "data.json")]
    done = subprocess.run([opa, "eval", *files, query], capture_output=True, check=True)
    [value] = [one["value"] for one in json.loads(done.stdout)["result"][0]["expressions"]]
    for number, (ours, theirs) in enumerate(zip(embedded, value, strict=True)):
        found = {
            rule.id: theirs[rule.pack][rule.entrypoint.split("/")[2]]["deny"]
            for rule in RULES.rules
        }
        assert ours == rendered(found), INPUTS[number]


def test_conftest_gives_the_same_answers(embedded: Answers, tmp_path: Path) -> None:
    conftest = shutil.which("conftest") or pytest.skip("conftest is not on the PATH")
    files = []
    for number, value in enumerate(INPUTS):
        files.append(tmp_path / f"{number:05}.json")
        files[-1].write_text(json.dumps(value))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/data.json").write_text(json.dumps(DATA))
    options = ["--policy", str(rules_without_examples(tmp_path)), "--data", str(tmp_path / "data")]
    command = [conftest, "test", *options, "--all-namespaces", "-o", "json", "--no-fail"]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, check=True)
    messages: list[dict[str, list[str]]] = [{} for _ in INPUTS]
    for result in json.loads(done.stdout):
        package = result["namespace"].split(".")
        if result.get("failures"):
            found = sorted(one["msg"] for one in result["failures"])
            rule = f"{package[1]}/{package[2].replace('_', '-')}"
            messages[int(Path(result["filename"]).stem)][rule] = found
    expected = [
        {rule: sorted(json.loads(one)["msg"] for one in found) for rule, found in ours.items()}
        for ours in embedded
    ]
    assert messages == expected
