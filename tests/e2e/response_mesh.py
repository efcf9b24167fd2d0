"""An isolated mesh whose incidents a test drives over the control plane's own API."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class _Connection(http.client.HTTPConnection):
    """HTTP on a Unix socket; one that is refused leaves no socket behind."""

    def __init__(self, path: Path) -> None:
        super().__init__("api", timeout=90)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def api(mesh: Isolated, method: str, path: str, **body: object) -> dict[str, Any]:
    """Return what the control plane answers to one request; OSError where it dies meanwhile."""
    with contextlib.closing(_Connection(mesh.state / "run/api.sock")) as connection:
        connection.request(method, path, json.dumps(body) if body else None)
        answer = connection.getresponse()
        raw = answer.read()
    assert answer.status == 200, raw
    found: dict[str, Any] = json.loads(raw)
    return found


def contain(mesh: Isolated, playbook: str, service: str = "shell") -> dict[str, Any]:
    """Have `playbook` followed."""
    return api(mesh, "POST", "/v1/incidents/contain", service=service, playbook=playbook, who="ada")


def release(mesh: Isolated, incident: str, *, ping: str = PING) -> None:
    """Let the suspect back in, and see that its calls pass."""
    found = api(mesh, "POST", f"/v1/incidents/{incident}/release", who="ada")
    assert found["state"] == "recovered", found
    late = any("not yet confirmed" in step["outcome"] for step in found["steps"])
    deadline = time.monotonic() + (WITHIN_S if late else 0)
    while (answer := mesh.shell(ping)) != (0, "200") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer == (0, "200")


def until(
    mesh: Isolated, incident: str, reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return the incident once `reached`, whatever dies meanwhile."""
    deadline, found = time.monotonic() + WITHIN_S, {}
    while time.monotonic() < deadline:
        if listens(mesh):
            found = api(mesh, "GET", f"/v1/incidents/{incident}")
            if reached(found):
                return found
        time.sleep(0.1)
    raise AssertionError(found)


def listens(mesh: Isolated) -> bool:
    """Return whether a control plane takes requests now."""
    with socket.socket(socket.AF_UNIX) as end:
        return end.connect_ex(str(mesh.state / "run/api.sock")) == 0


def recovered(mesh: Isolated, incident: str) -> dict[str, Any]:
    """Return the incident once it is over, which has to be well."""
    found = until(mesh, incident, lambda one: one["state"] in OVER)
    assert found["state"] == "recovered", found["steps"]
    return found


def steps(incident: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the steps of an incident by action."""
    return {step["action"]: step for step in incident["steps"]}


def process(mesh: Isolated, name: str) -> int | None:
    """Return the process of that name as it is now; None where none runs."""
    found: dict[str, int] = json.loads((mesh.state / "up.json").read_text())["processes"]
    return found.get(name)


def kill_control_plane(mesh: Isolated) -> None:
    """Kill it as a crash would; return once the supervisor has another one that listens."""
    killed = process(mesh, "control-plane")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + WITHIN_S
    while process(mesh, "control-plane") in {killed, None} or not listens(mesh):
        assert time.monotonic() < deadline, "the control plane did not come back"
        time.sleep(0.05)
