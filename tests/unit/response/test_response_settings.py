"""The mesh file's `response` section: what is read, and what is refused with its line."""

from pathlib import Path

import pytest

from meshwarden.adapters.yaml import parse_document
from meshwarden.control.response.opening import load_playbook, load_playbooks, load_rails
from meshwarden.control.response_settings import ResponseSettings, parse_response
from meshwarden.control.rotation_settings import CommandSecret, FileSecret, PostgresSecret
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
        "secrets: {a: [{}]}",
        "secrets: {a: [{file: x, command: [/bin/true]}]}",
        "secrets: {a: [{file: x, overlap_s: 31}]}",
        "secrets: {a: [{file: x, shell: yes}]}",
        "secrets: {a: [{command: [true]}]}",
        "secrets: {a: [{postgres: {host: /run}}]}",
        "secrets: {a: [{postgres: {host: h, database: d, admin: a, roles: [x], credentials: c}}]}",
        "secrets: [x]",
    ],
)
def test_what_breaks_the_format_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InputError, match=r"mesh\.yaml:1"):
        parsed(text)


def test_secrets_are_files_commands_and_users_of_a_database() -> None:
    found = parsed(
        "secrets:\n  payments:\n    - [/usr/bin/rotate, payments]\n"
        "    - {command: [/bin/true]}\n    - {file: api-key, overlap_s: 2}\n"
        "    - postgres: {host: /run, database: bank, admin: rotator, roles: [a, b],"
        " credentials: db.json, admin_password_file: /etc/rotator}\n"
    ).secrets["payments"]
    assert found[0] == CommandSecret(argv=("/usr/bin/rotate", "payments"))
    assert found[1] == CommandSecret(argv=("/bin/true",))
    assert found[2] == FileSecret(path=HERE / "api-key", overlap_s=2.0)
    assert isinstance(found[3], PostgresSecret)
    assert (found[3].roles, found[3].credentials) == (("a", "b"), HERE / "db.json")
    assert found[3].admin_password == Path("/etc/rotator")


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
