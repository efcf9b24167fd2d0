"""The mesh file's `response` section: what is read, and what is refused with its line."""

from pathlib import Path

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.response.opening import load_playbook, load_playbooks, load_rails
from meshwarden.control.response_settings import ResponseSettings, parse_response
from meshwarden.kernel import ConfigError, InputError

HERE = Path("/srv/mesh")


def parsed(text: str, directory: Path = HERE) -> ResponseSettings:
    return parse_response(parse_document(text.encode(), name="mesh.yaml"), directory)


def test_without_a_section_high_confidence_is_quarantined_and_the_rest_observed() -> None:
    names = [one.name for one in load_playbooks(parse_response(None, HERE))]
    assert names == ["quarantine", "observe"]
    assert load_rails(parse_response(None, HERE)).last_instance_tiers == {0}


def test_own_playbooks_are_paths_beside_the_mesh_file() -> None:
    found = parsed("playbooks: [full, ./mine.yaml]\nguard_rails: rails.yaml\nevidence_mb: 64\n")
    assert found.playbooks == ("full", "/srv/mesh/mine.yaml")
    assert found.guard_rails == HERE / "rails.yaml"
    assert found.evidence_bytes == 64 << 20


@pytest.mark.parametrize(
    "text",
    [
        "colour: red",
        "playbooks: full",
        "evidence_mb: 0",
        "evidence_mb: x",
        "guard_rails: 7",
        "secrets: {a: [[rotate]]}",
        "secrets: {a: [[]]}",
        "secrets: {a: rotate}",
        "secrets: [x]",
    ],
)
def test_what_breaks_the_format_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InputError, match=r"mesh\.yaml:1"):
        parsed(text)


def test_secrets_are_replaced_by_commands_without_a_shell() -> None:
    found = parsed("secrets: {payments: [[/usr/bin/rotate, payments], [/bin/true]]}")
    assert found.secrets == {"payments": (("/usr/bin/rotate", "payments"), ("/bin/true",))}


def test_an_unknown_playbook_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no playbook 'cautious' is shipped") as caught:
        load_playbook("cautious")
    assert "full, observe, quarantine, throttle" in caught.value.hint


def test_a_playbook_that_cannot_work_is_refused_when_loaded(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "apiVersion: meshwarden.dev/v1\nplaybook: mine\ntime_box: 1h\nsteps: [replace]\n"
    )
    with pytest.raises(InputError, match="replace needs"):
        load_playbook(str(path))
