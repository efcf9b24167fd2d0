"""One instance contained, replaced and let back in, in an isolated mesh of real processes."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.isolated_mesh import Isolated, isolated_mesh
from tests.e2e.postgres import ADMIN_PASSWORD, POSTGRES_MISSING, Postgres, running_postgres
from tests.e2e.response_mesh import (
    FILES,
    NEEDS_ROOT,
    PING,
    contain,
    process,
    recovered,
    release,
    steps,
)

from meshwarden.adapters.forensics import verify_archive
from meshwarden.adapters.network.established import Connection, list_connections
from meshwarden.adapters.network.quarantine import cut_off
from meshwarden.cli import run

OLD_KEY = "the-key-before"
PLAYBOOKS = ["quarantine", "observe", "./cut.yaml"]
pytestmark = [NEEDS_ROOT, pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory in which a file, a command and a database have secrets of the suspect's."""
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def postgres(place: Path) -> Iterator[Postgres | None]:
    if POSTGRES_MISSING:
        yield None
        return
    with running_postgres() as one:
        (place / "admin").write_text(ADMIN_PASSWORD)
        (place / "admin").chmod(0o600)
        held = {"user": "app_a", "password": "first-password"}
        (place / "database.json").write_text(json.dumps(held))
        yield one


@pytest.fixture(scope="module")
def mesh(place: Path, postgres: Postgres | None) -> Iterator[Isolated]:
    (place / "api-key").write_text(OLD_KEY)
    (place / "rotate").write_text(f"#!/bin/sh\ncat >{place}/given\n")
    (place / "rotate").chmod(0o755)
    secrets = [
        {"file": str(place / "api-key"), "overlap_s": 0.5},
        {"command": [str(place / "rotate")]},
    ]
    if postgres is not None:
        database = {
            "host": str(postgres.host), "database": "postgres", "admin": "rotator",
            "admin_password_file": str(place / "admin"), "roles": ["app_a", "app_b"],
            "credentials": str(place / "database.json"),
        }  # fmt: skip
        secrets.append({"postgres": database, "overlap_s": 0.5})
    response = {"playbooks": PLAYBOOKS, "secrets": {"shell": secrets}}
    with isolated_mesh(more=f"response: {json.dumps(response)}\n", files=FILES) as one:
        yield one


def test_a_quarantined_instance_is_proved_to_be_cut_off_and_let_back_in(mesh: Isolated) -> None:
    assert mesh.shell(PING) == (0, "200")
    found = contain(mesh, "cut")
    done = steps(found)["quarantine"]
    assert found["state"] == "contained", found
    assert done["state"] == "verified"
    assert "0 of 128 octets over connections that were open" in done["outcome"]
    assert "refused by policy or in the handshake by 2 peers" in done["outcome"]
    assert mesh.shell(PING)[1] != "200"
    release(mesh, found["id"])


def test_a_full_response_replaces_the_instance_and_refuses_its_old_key(mesh: Isolated) -> None:
    found = recovered(mesh, contain(mesh, "full")["id"])
    done = steps(found)
    assert "refused in the handshake" in done["revoke-svid"]["outcome"]
    assert "the old certificate" in done["replace"]["outcome"]
    assert done["snapshot"]["state"] == "verified"
    assert mesh.shell(PING) == (0, "200")
    kept = found["evidence"]
    manifest = verify_archive(Path(kept["archive"]), key=kept["key"], digest=kept["digest"])
    names = {one.name for one in manifest.kept}
    assert {"record.json", "calls.parquet", "access-policy.yaml"} <= names
    assert any(name.endswith("/environment") for name in names)


def test_no_peer_keeps_a_connection_with_an_instance_that_was_replaced(mesh: Isolated) -> None:
    assert mesh.shell(PING) == (0, "200")
    before = _with_shell(mesh)
    assert before
    with _network_of(mesh, "shell") as namespace:
        cut_off(namespace)  # the firewall may be faster than the farewells of its sidecar
    found = recovered(mesh, contain(mesh, "full")["id"])
    [said] = [
        entry["data"]["outcome"]
        for entry in found["record"]
        if entry["kind"] == "applied" and entry["data"]["action"] == "replace"
    ]
    assert mesh.shell(PING) == (0, "200")
    assert not before & _with_shell(mesh)
    assert "connections that peers had with it ended" in said  # none, where Envoy was faster


def _with_shell(mesh: Isolated) -> frozenset[Connection]:
    """Return what the sidecar of `back` has open with `shell`."""
    uid = Path(f"/proc/{process(mesh, 'back.sidecar')}").stat().st_uid
    with _network_of(mesh, "back") as namespace:
        found = list_connections(namespace, uid=uid)
    return frozenset(one for one in found if one.remote[0] == mesh.host("shell"))


@contextlib.contextmanager
def _network_of(mesh: Isolated, service: str) -> Iterator[int]:
    namespace = os.open(f"/proc/{process(mesh, f'{service}.sidecar')}/ns/net", os.O_RDONLY)
    try:
        yield namespace
    finally:
        os.close(namespace)


def test_its_secrets_are_new_and_the_old_ones_worthless(
    mesh: Isolated, place: Path, postgres: Postgres | None
) -> None:
    (place / "api-key").write_text(OLD_KEY)
    found = recovered(mesh, contain(mesh, "full")["id"])
    said = steps(found)["rotate-secrets"]
    assert said["state"] == "verified", said
    assert (place / "api-key").read_text() != OLD_KEY
    assert not (place / "api-key.previous").exists()
    assert len((place / "given").read_text()) > 40
    if postgres is not None:
        held = json.loads((place / "database.json").read_text())
        assert (
            f"{'app_a' if held['user'] == 'app_b' else 'app_b'} may not log in" in said["outcome"]
        )
        assert (
            postgres.sql("SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname ~ 'app_'")
            == held["user"]
        )
        assert held["password"] not in json.dumps(found)


def test_a_throttled_service_is_slowed_down_at_its_own_sidecar(mesh: Isolated) -> None:
    found = contain(mesh, "throttle")
    assert steps(found)["throttle"]["state"] == "verified", found
    many = f"for n in $(seq 40); do {PING}; echo; done"
    codes = mesh.shell(many)[1].split()
    assert "429" in codes
    assert "200" in codes
    release(mesh, found["id"])
    assert set(mesh.shell(many)[1].split()) == {"200"}


def test_people_see_simulate_contain_and_release_by_command(
    mesh: Isolated, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--state", str(mesh.state), "--json"]

    def said(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = run(["incident", *arguments, *where])
        return code, json.loads(capsys.readouterr().out)

    code, contained = said("contain", "stranger", "--playbook", "cut", "--as", "ada")
    assert (code, contained["state"]) == (0, "contained")
    incident = contained["id"]
    assert said("list")[0] == 1
    code, shown = said("show", incident)
    assert (code, shown["entries_verified"]) == (1, len(shown["record"]))
    code, foreseen = said("simulate", incident, "--playbook", "full")
    assert foreseen["foreseen"][-1]["action"] == "replace"
    assert run(["incident", "close", incident, *where]) == 3, "what holds is released first"
    capsys.readouterr()
    code, released = said("release", incident, "--reason", "our test", "--as", "ada")
    assert (code, released["state"]) == (0, "recovered")
    assert said("close", incident, "--false-alarm")[1]["state"] == "false-alarm"
    assert said("evidence", incident) == (1, {})
