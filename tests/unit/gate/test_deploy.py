"""Our own manifests pass our own gate; what is left is what no one can know before building."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from tests.evaluators.schemas import errors, load_schemas

from meshwarden.adapters.yaml import load_document
from meshwarden.cli import run
from meshwarden.policy.gate.settings import parse_settings

DEPLOY = Path(__file__).parents[3] / "deploy"
MANIFESTS = sorted(
    path for path in DEPLOY.rglob("*.yaml") if path.name not in {"kustomization.yaml", "gate.yaml"}
)


def _judged(
    paths: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[tuple[str, str]]]:
    code = run(["gate", *paths, "--json", "--fail-on", "medium"])
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert found["judged"] >= 7
    return code, [(one["rule"], one["severity"]) for one in found["findings"]]


def test_the_manifests_are_clean_but_for_the_digest_of_an_image_that_is_yet_to_be_built(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, findings = _judged([str(path) for path in MANIFESTS], capsys)
    assert (code, findings) == (0, [("workload/image-unpinned", "low")])


def test_so_is_what_kustomize_renders_of_base_and_overlays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not shutil.which("kubectl") and not shutil.which("kustomize"):
        pytest.skip("there is no kubectl and no kustomize")
    code, findings = _judged([str(DEPLOY)], capsys)
    assert (code, set(findings)) == (0, {("workload/image-unpinned", "low")})


def test_a_digest_makes_it_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DEPLOY / "base/admission.yaml").read_text()
    assert text.count("image: meshwarden:0.1.0") == 1
    pinned = text.replace(
        "image: meshwarden:0.1.0", f"image: registry.bank.example/meshwarden@sha256:{'7' * 64}"
    )
    (tmp_path / "admission.yaml").write_text(pinned)
    others = [str(path) for path in MANIFESTS if path.name != "admission.yaml"]
    assert _judged([*others, str(tmp_path / "admission.yaml")], capsys) == (0, [])


def test_the_configuration_of_the_webhook_is_one() -> None:
    settings = parse_settings(load_document(DEPLOY / "base/gate.yaml"))
    assert settings.admission.fail_on == "high"


def test_the_overlay_is_what_istio_takes() -> None:
    made = yaml.load((DEPLOY / "overlays/istio/strict.yaml").read_text(), Loader=yaml.CSafeLoader)
    assert errors(load_schemas("istio-crds.yaml"), made) == []


def test_the_command_that_the_deployment_runs_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    documents = yaml.load_all((DEPLOY / "base/admission.yaml").read_text(), Loader=yaml.CSafeLoader)
    (deployment,) = (one for one in documents if one["kind"] == "Deployment")
    command, *options = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert run([command, "--help"]) == 0
    offered = capsys.readouterr().out
    assert all(option.partition("=")[0] in offered for option in options)
