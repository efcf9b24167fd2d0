"""`policy compile` for a cluster: files, options, what is said."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from meshwarden.cli import run

POLICY = """apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  gateway: {identity: spiffe://bank.example/ns/edge/sa/gateway}
  ledger:
    identity: spiffe://bank.example/ns/core/sa/ledger
    accepts:
      - {from: [gateway], methods: [GET], paths: ["/v1/accounts/{id}"], token: {scopes: [read]}}
      - {from: [gateway], methods: [POST], paths: [/v1/entries]}
"""
CALLER, CALLEE = (
    "spiffe://bank.example/ns/edge/sa/gateway",
    "spiffe://bank.example/ns/core/sa/ledger",
)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "access.yaml"
    path.write_text(POLICY)
    return str(path)


def test_what_is_wider_is_said_and_strict_writes_nothing(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["policy", "compile", policy, "--target", "networkpolicy", "-o", str(out)]
    assert run([*command, "--strict"]) == 1
    assert not out.exists()
    assert run([*command, "--json"]) == 0
    stdout, stderr = capsys.readouterr()
    found = json.loads(stdout.splitlines()[-1])
    assert [part["wider"] for part in found["unexpressed"]] == [True, True]
    assert (
        f"{policy}:8: networkpolicy cannot express ledger.accepts[0]: wider than written" in stderr
    )
    assert sorted(path.name for path in out.iterdir()) == ["gateway.yaml", "ledger.yaml"]


def test_a_token_needs_an_issuer_that_was_named(policy: str, tmp_path: Path) -> None:
    command = ["policy", "compile", policy, "--target", "istio", "--service", "ledger"]
    issuer = ["--token-issuer", "https://tts.example", "--token-keys", "https://tts.example/jwks"]
    assert run([*command, "-o", str(tmp_path / "without")]) == 0
    assert run([*command, *issuer, "-o", str(tmp_path / "with")]) == 0
    kinds = {
        folder: [
            one["kind"]
            for one in yaml.load_all(
                (tmp_path / folder / "ledger.yaml").read_text(), Loader=yaml.CSafeLoader
            )
        ]
        for folder in ("without", "with")
    }
    assert "RequestAuthentication" not in kinds["without"]
    assert "RequestAuthentication" in kinds["with"]
    assert not (tmp_path / "with" / "gateway.yaml").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--http-port", "0"], "--http-port"),
        (["--http-port", "70000"], "--http-port"),
        (["--http-port", "Web"], "--http-port"),
        (["--token-issuer", "https://x.example"], "together"),
        (["--token-issuer", "x", "--token-keys", "http://x.example"], "https"),
        (["--service", "nobody"], "no service is called 'nobody'"),
        (["--target", "kuma"], "kuma"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    options: list[str], said: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = [] if "--target" in options else ["--target", "linkerd"]
    assert run(["policy", "compile", policy, *target, "-o", str(tmp_path / "out"), *options]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert said in error


def test_opa_answers_what_the_policy_says(policy: str, tmp_path: Path) -> None:
    opa = shutil.which("opa")
    if opa is None:
        pytest.skip("opa is not on the PATH")
    folder = tmp_path / "rego"
    assert run(["policy", "compile", policy, "--target", "rego", "-o", str(folder)]) == 0
    for path, rule in (("/v1/entries", "ledger.accepts[1]"), ("/v1/entries/", None)):
        asked = {"source": CALLER, "destination": CALLEE, "method": "POST", "path": path}
        (tmp_path / "input.json").write_text(json.dumps(asked))
        command = [
            opa,
            "eval",
            "-d",
            str(folder),
            "-i",
            str(tmp_path / "input.json"),
            "--format",
            "raw",
        ]
        found = subprocess.run(
            [*command, "data.meshwarden.access.rule"], capture_output=True, check=True
        )
        assert (
            json.loads(
                found.stdout.decode() if rule is None else f'"{found.stdout.decode().strip()}"'
            )
            == rule
        )
