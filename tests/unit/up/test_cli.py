import re
from pathlib import Path

import pytest

from meshwarden.adapters.yaml import load_document, parse_document
from meshwarden.cli import run
from meshwarden.control.mesh import check_against, parse_mesh
from meshwarden.policy import parse_policy

ROOT = Path(__file__).parents[3]
POLICY = """
apiVersion: meshwarden.dev/v1
trust_domain: bank.example
services:
  ledger: {identity: "spiffe://bank.example/ledger"}
"""
MESH = """
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  ledger: {command: [no-such-program], socket: true}
"""


@pytest.mark.parametrize(
    ("mesh", "policy", "says"),
    [
        (MESH + "  - x", POLICY, "mesh.yaml:6: not YAML"),
        (MESH + "colour: red", POLICY, "mesh.yaml:6: unknown key 'colour'"),
        (MESH.replace("ledger", "leger"), POLICY, "mesh.yaml:5: service 'leger' is not in"),
        (MESH, POLICY.replace("spiffe:", "http:"), "access.yaml:5"),
        (MESH, None, "access.yaml: No such file"),
        (MESH, POLICY, "'no-such-program' is not found"),
    ],
)
def test_bad_input_is_one_line_exit_2_and_no_trace(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], mesh: str, policy: str | None, says: str
) -> None:
    (tmp_path / "mesh.yaml").write_text(mesh)
    if policy is not None:
        (tmp_path / "access.yaml").write_text(policy)
    state = tmp_path / "s"
    assert run(["up", str(tmp_path / "mesh.yaml"), "--state", str(state)]) == 2
    captured = capfd.readouterr()
    (line,) = (text for text in captured.err.splitlines() if "note:" not in text)
    assert says in line
    assert captured.out == ""
    assert not state.exists()


def test_missing_mesh_file_is_bad_input(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["up", "/nowhere/mesh.yaml"]) == 2
    assert "/nowhere/mesh.yaml" in capfd.readouterr().err


def test_help_has_an_example(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["up", "--help"]) == 0
    assert "Example: meshwarden up mesh.yaml" in capfd.readouterr().out


def test_example_in_two_languages_fits_its_policy() -> None:
    directory = ROOT / "examples" / "two-languages"
    mesh = parse_mesh(load_document(directory / "mesh.yaml"), directory)
    check_against(mesh, parse_policy(load_document(mesh.policy_path)))
    guide = (ROOT / "docs" / "guide" / "up.md").read_text()
    for name in ("access.yaml", "mesh.yaml"):
        shown = re.search(rf"```yaml\n# {name}\n(.*?)```", guide, re.DOTALL)
        assert shown is not None
        written = re.sub(r" # .*", "", (directory / name).read_text())
        assert shown[1] == written


def test_reference_shows_a_mesh_file_that_is_one() -> None:
    page = (ROOT / "docs" / "reference" / "mesh.md").read_text()
    shown = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    mesh = parse_mesh(parse_document(shown[1].encode(), name="mesh.md"), ROOT)
    assert set(mesh.services) == {"ledger-db", "ledger", "gateway"}
