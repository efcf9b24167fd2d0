"""An isolated mesh whose incidents a test drives over the control plane's own API."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.e2e.isolated_mesh import Isolated

NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="networks of their own need root"
)
PING = "curl -s -m 5 -o /dev/null -w %{http_code} http://back/v1/ping"
RESPONSE = "response: {playbooks: [quarantine, observe, ./cut.yaml]}\n"
FILES = {
    "cut.yaml": "apiVersion: meshwarden.dev/v1\nplaybook: cut\ntime_box: 1h\nsteps: [quarantine]\n"
}
WITHIN_S = 120
OVER = {"recovered", "failed"}


def api(mesh: Isolated, method: str, path: str, **body: object) -> dict[str, Any]:
    """Return what the control plane answers to one request."""
    transport = httpx.HTTPTransport(uds=str(mesh.state / "run/api.sock"))
    with httpx.Client(transport=transport, timeout=90) as client:
        answer = client.request(method, f"http://api{path}", json=body or None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def contain(mesh: Isolated, playbook: str, service: str = "shell") -> dict[str, Any]:
    """Have `playbook` followed."""
    return api(mesh, "POST", "/v1/incidents/contain", service=service, playbook=playbook, who="ada")


def release(mesh: Isolated, incident: str) -> None:
    """Let the suspect back in, and see that its calls pass."""
    found = api(mesh, "POST", f"/v1/incidents/{incident}/release", who="ada")
    assert found["state"] == "recovered", found
    assert mesh.shell(PING) == (0, "200")


def until(
    mesh: Isolated, incident: str, reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return the incident once `reached`, whatever dies meanwhile."""
    deadline, found = time.monotonic() + WITHIN_S, {}
    while time.monotonic() < deadline:
        try:
            found = api(mesh, "GET", f"/v1/incidents/{incident}")
        except (httpx.TransportError, OSError):  # the control plane is just being started
            time.sleep(0.1)
            continue
        if reached(found):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def recovered(mesh: Isolated, incident: str) -> dict[str, Any]:
    """Return the incident once it is over, which has to be well."""
    found = until(mesh, incident, lambda one: one["state"] in OVER)
    assert found["state"] == "recovered", found["steps"]
    return found


def steps(incident: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the steps of an incident by action."""
    return {step["action"]: step for step in incident["steps"]}


def process(mesh: Isolated, name: str) -> int:
    """Return the process of that name as it is now."""
    found: int = json.loads((mesh.state / "up.json").read_text())["processes"][name]
    return found


def kill_control_plane(mesh: Isolated) -> None:
    """Kill it as a crash would; the supervisor starts it again."""
    os.kill(process(mesh, "control-plane"), signal.SIGKILL)
