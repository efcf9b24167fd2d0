"""Reports in each format: valid, complete, and without secrets."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from tests.shared_data import shared_file

from meshwarden.cli import run

SECRET = "hunter2horse"
POD = f"""apiVersion: v1
kind: Pod
metadata: {{name: 'evil|`<b>'}}
spec:
  containers:
    - name: "a%0A::b"
      image: busybox
      securityContext: {{privileged: true}}
      env:
        - {{name: DB_PASSWORD, value: {SECRET}}}
        - name: KEY_PASSWORD
          value: |
            {SECRET}
"""
FORMATS = ["text", "json", "sarif", "junit", "github", "markdown"]
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "broken.yaml").write_text("kind: [\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(capsys: Capture, kind: str, *options: str) -> str:
    assert run(["gate", ".", "--format", kind, *options]) == 2
    return capsys.readouterr().out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("kind", FORMATS)
def test_no_report_shows_a_secret(kind: str, capsys: Capture) -> None:
    text = report(capsys, kind)
    assert "DB_PASSWORD" in text
    assert SECRET not in text


@pytest.mark.usefixtures("folder")
def test_text_shows_the_line_and_points_at_the_key(capsys: Capture) -> None:
    text = report(capsys, "text")
    assert "pod.yaml:8:25: critical: container a%0A::b is privileged" in text
    assert "  > 8 |       securityContext: {privileged: true}\n" in text
    assert "broken.yaml:2: not judged: not YAML" in text


@pytest.mark.usefixtures("folder")
def test_sarif_follows_the_published_schema(capsys: Capture) -> None:
    log = json.loads(report(capsys, "sarif"))
    schema = json.loads(shared_file("schemas/sarif-2.1.0.json").read_text())
    jsonschema.validate(log, schema)
    [sarif] = log["runs"]
    levels = {one["ruleId"]: one["level"] for one in sarif["results"]}
    assert levels["workload/privileged"] == "error"
    assert levels["communication/token-mounted"] == "warning"
    assert levels["workload/capabilities-kept"] == "note"
    assert sarif["invocations"][0]["executionSuccessful"] is False
    [found] = [one for one in sarif["results"] if one["ruleId"] == "workload/privileged"]
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "pod.yaml"
    assert place["region"] == {"startLine": 8, "startColumn": 25}


@pytest.mark.usefixtures("folder")
def test_junit_counts_what_it_lists(capsys: Capture) -> None:
    [suite] = ET.fromstring(report(capsys, "junit"))  # noqa: S314  # our own output
    assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"]) > 0
    assert len(suite.findall("testcase/error")) == int(suite.attrib["errors"]) == 1


@pytest.mark.usefixtures("folder")
def test_github_commands_cannot_be_forged_by_names(capsys: Capture) -> None:
    lines = report(capsys, "github").splitlines()
    [line] = [one for one in lines if "is privileged" in one]
    assert line.startswith("::error file=pod.yaml,line=8,col=25,title=critical%3A ")
    assert "a%250A::b" in line


@pytest.mark.usefixtures("folder")
def test_markdown_escapes_what_manifests_say(capsys: Capture) -> None:
    text = report(capsys, "markdown")
    assert "| critical | `pod.yaml:8` | container a%0A::b is privileged" in text
    assert "<b>" not in text


def test_a_hardened_service_has_no_finding(capsys: Capture) -> None:
    clean = Path(__file__).with_name("clean.yaml")
    assert run(["gate", str(clean), "--json", "--fail-on", "low"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["findings"] == []
    assert found["skipped"] == ["no rule is about these kinds: ServiceMonitor (1)"]
