"""One instance contained, replaced and let back in, in an isolated mesh of real processes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.isolated_mesh import Isolated, isolated_mesh
from tests.e2e.response_mesh import (
    FILES,
    NEEDS_ROOT,
    PING,
    RESPONSE,
    contain,
    recovered,
    release,
    steps,
)

from meshwarden.adapters.forensics import verify_archive
from meshwarden.cli import run

pytestmark = [NEEDS_ROOT, pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Isolated]:
    with isolated_mesh(more=RESPONSE, files=FILES) as one:
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
