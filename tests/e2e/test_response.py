"""One instance contained, replaced and let back in, in an isolated mesh of real processes."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.isolated_mesh import Isolated, isolated_mesh

from meshwarden.adapters.forensics import verify_archive

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="networks of their own need root"
)
RESPONSE = "response: {playbooks: [quarantine, observe, ./cut.yaml]}\n"
CUT = """\
apiVersion: meshwarden.dev/v1
playbook: cut
time_box: 1h
steps: [quarantine]
"""
PING = "curl -s -m 5 -o /dev/null -w %{http_code} http://back/v1/ping"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Isolated]:
    with isolated_mesh(more=RESPONSE, files={"cut.yaml": CUT}) as one:
        yield one


def api(mesh: Isolated, method: str, path: str, **body: object) -> dict[str, Any]:
    transport = httpx.HTTPTransport(uds=str(mesh.state / "run/api.sock"))
    with httpx.Client(transport=transport, timeout=90) as client:
        answer = client.request(method, f"http://api{path}", json=body or None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_quarantined_instance_is_proved_to_be_cut_off_and_let_back_in(mesh: Isolated) -> None:
    assert mesh.shell(PING) == (0, "200")
    found = api(mesh, "POST", "/v1/incidents/contain", service="shell", playbook="cut", who="ada")
    steps = {step["action"]: step for step in found["steps"]}
    assert found["state"] == "contained", found
    assert steps["quarantine"]["state"] == "verified"
    assert "0 of 128 octets over connections that were open" in steps["quarantine"]["outcome"]
    assert mesh.shell(PING)[1] != "200"
    released = api(mesh, "POST", f"/v1/incidents/{found['id']}/release", who="ada", reason="clean")
    assert released["state"] == "recovered", released
    assert mesh.shell(PING) == (0, "200")


def test_a_full_response_replaces_the_instance_and_refuses_its_old_key(mesh: Isolated) -> None:
    found = api(mesh, "POST", "/v1/incidents/contain", service="shell", playbook="full", who="ada")
    found = eventually_recovered(mesh, found["id"])
    steps = {step["action"]: step for step in found["steps"]}
    assert "refused in the handshake" in steps["revoke-svid"]["outcome"]
    assert "the old certificate" in steps["replace"]["outcome"]
    assert steps["snapshot"]["state"] == "verified"
    assert mesh.shell(PING) == (0, "200")
    kept = found["evidence"]
    manifest = verify_archive(Path(kept["archive"]), key=kept["key"], digest=kept["digest"])
    names = {one.name for one in manifest.kept}
    assert {"record.json", "calls.parquet", "access-policy.yaml"} <= names
    assert any(name.endswith("/environment") for name in names)


def eventually_recovered(mesh: Isolated, incident: str) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = api(mesh, "GET", f"/v1/incidents/{incident}")
        if found["state"] in {"recovered", "failed"}:
            break
        time.sleep(0.2)
    assert found["state"] == "recovered", found["steps"]
    return found


def test_a_throttled_service_is_slowed_down_at_its_own_sidecar(mesh: Isolated) -> None:
    found = api(
        mesh, "POST", "/v1/incidents/contain", service="shell", playbook="throttle", who="ada"
    )
    steps = {step["action"]: step for step in found["steps"]}
    assert steps["throttle"]["state"] == "verified", steps
    many = f"for n in $(seq 40); do {PING}; echo; done"
    codes = mesh.shell(many)[1].split()
    assert "429" in codes
    assert "200" in codes
    released = api(mesh, "POST", f"/v1/incidents/{found['id']}/release", who="ada")
    assert released["state"] == "recovered", released
    assert set(mesh.shell(many)[1].split()) == {"200"}
