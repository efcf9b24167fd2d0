"""Charts and overlays are judged by what the user's own tool makes of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from meshwarden.cli import run

CHART = {
    "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
    "values.yaml": "privileged: true\n",
    "templates/pod.yaml": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Release.Name }}}\nspec:\n  containers:\n"
        "    - name: web\n      securityContext: {privileged: {{ .Values.privileged }}}\n"
    ),
}
OVERLAY = {
    "kustomization.yaml": "resources: [pod.yaml]\npatches:\n  - path: patch.yaml\n",
    "pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web}]}\n",
    "patch.yaml": (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
        "spec: {containers: [{name: web, securityContext: {privileged: true}}]}\n"
    ),
}
HAS_HELM = shutil.which("helm") is not None
HAS_KUSTOMIZE = shutil.which("kustomize") is not None or shutil.which("kubectl") is not None
needs_helm = pytest.mark.skipif(not HAS_HELM, reason="helm is not on the PATH")
needs_kustomize = pytest.mark.skipif(not HAS_KUSTOMIZE, reason="no kustomize, no kubectl")
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.timeout(600)


def gate(
    folder: Path, capsys: Capture, files: dict[str, str], **changed: str
) -> tuple[int, dict[str, Any]]:
    for name, text in (files | changed).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    code = run(["gate", str(folder), "--json"])
    return code, json.loads(capsys.readouterr().out)


def privileged(report: dict[str, Any]) -> list[str]:
    return [one["object"] for one in report["findings"] if one["rule"] == "workload/privileged"]


@needs_helm
def test_a_chart_is_judged_as_helm_renders_it(tmp_path: Path, capsys: Capture) -> None:
    code, report = gate(tmp_path, capsys, CHART)
    assert (code, privileged(report), report["problems"]) == (1, ["Pod/gate"], [])


@needs_helm
def test_a_chart_that_helm_refuses_is_no_pass(tmp_path: Path, capsys: Capture) -> None:
    code, report = gate(tmp_path, capsys, CHART, **{"templates/more.yaml": "{{ fail `no` }}"})
    assert (code, [one["code"] for one in report["problems"]]) == (2, ["gate.render"])


@needs_kustomize
def test_an_overlay_is_judged_with_its_patches(tmp_path: Path, capsys: Capture) -> None:
    code, report = gate(tmp_path, capsys, OVERLAY)
    assert (code, privileged(report), report["judged"]) == (1, ["Pod/web"], 1)


@needs_kustomize
def test_an_overlay_that_cannot_be_built_is_no_pass(tmp_path: Path, capsys: Capture) -> None:
    missing = {"kustomization.yaml": "resources: [missing.yaml]\n"}
    code, report = gate(tmp_path, capsys, OVERLAY, **missing)
    assert (code, [one["code"] for one in report["problems"]]) == (2, ["gate.render"])
    assert "missing.yaml" in report["problems"][0]["message"]
