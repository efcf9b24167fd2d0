"""A service of a mesh that runs in a real container: called, cut off, let back in, replaced."""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.isolated_mesh import DOMAIN, SERVICES, Isolated, running
from tests.e2e.podman import NEEDS_PODMAN, Podman, running_podman
from tests.e2e.response_mesh import (
    FILES,
    NEEDS_ROOT,
    RESPONSE,
    WITHIN_S,
    contain,
    process,
    recovered,
    release,
    steps,
    until,
)

from meshwarden.adapters.forensics import verify_archive

pytestmark = [NEEDS_ROOT, NEEDS_PODMAN, pytest.mark.e2e, pytest.mark.timeout(300)]
ASK = "curl -s -m 8 http://pay/v1/ping"
OUT = "curl -s -m 5 -o /dev/null -w %{http_code} --unix-socket /mesh/out.sock http://back/v1/ping"
POLICY = f"""\
apiVersion: meshwarden.dev/v1
trust_domain: test.example
services:
  shell: {{identity: {DOMAIN}/shell}}
  pay:
    identity: {DOMAIN}/pay
    accepts: [{{from: [shell], methods: [GET], paths: [/v1/ping]}}]
  back:
    identity: {DOMAIN}/back
    accepts: [{{from: [pay], methods: [GET], paths: [/v1/ping]}}]
"""
MESH = """\
apiVersion: meshwarden.dev/v1
policy: access.yaml
services:
  shell: {{command: ["{python}", -I, -S, "{services}/shell.py"], socket: true}}
  pay:
    container: {{name: pay, engine: "{engine}", uid: 65534}}
    socket: true
    health: /healthz
  back: {{command: ["{python}", -I, -S, "{services}/echo.py"], socket: true}}
"""


@dataclass(kw_only=True)
class Contained:
    """A running mesh, and the engine that runs one of its services."""

    mesh: Isolated
    podman: Podman
    stack: contextlib.ExitStack

    def ask(self) -> dict[str, Any] | None:
        """Return what the service answers to a peer; None where it does not."""
        status, said = self.mesh.shell(ASK)
        found: dict[str, Any] | None = json.loads(said) if status == 0 and said[:1] == "{" else None
        return found

    def container(self) -> str:
        return self.podman.run("container", "inspect", "--format", "{{.Id}}", "pay")


@pytest.fixture(scope="module")
def contained() -> Iterator[Contained]:
    with running_podman() as podman, tempfile.TemporaryDirectory(prefix="mw-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "access.yaml").write_text(POLICY)
        text = MESH.format(python=sys.executable, services=SERVICES, engine=podman.socket)
        (place / "mesh.yaml").write_text(text + RESPONSE)
        for name, content in FILES.items():
            (place / name).write_text(content)
        shared = place / "s/run/pay/app"
        shared.mkdir(parents=True)  # an engine may want it to be there before
        program = SERVICES / "contained.py"
        podman.create("pay", "--volume", f"{shared}:/mesh", program=program)
        with contextlib.ExitStack() as stack:
            up, summary = stack.enter_context(running(place / "mesh.yaml", place / "s"))
            mesh = Isolated(process=up, state=place / "s", summary=summary, edge=0, host_port=0)
            yield Contained(mesh=mesh, podman=podman, stack=stack)


def test_it_is_called_and_calls_through_its_sidecar(contained: Contained) -> None:
    assert contained.ask() == {"back": 200, "loot": False}


def test_cut_off_by_supervisor_and_engine_and_let_back_in(contained: Contained) -> None:
    found = contain(contained.mesh, "cut", "pay")
    assert found["state"] == "contained", found["steps"]
    assert contained.ask() is None
    assert contained.podman.address("pay") == ""
    said = contained.podman.run("exec", "pay", "sh", "-c", f"{OUT} || true")
    assert said == "000"
    _let_go(contained, found["id"])
    assert contained.podman.address("pay") != ""


def _let_go(contained: Contained, incident: str) -> None:
    release(contained.mesh, incident, ping=f"{ASK} -o /dev/null -w %{{http_code}}")
    assert contained.ask() == {"back": 200, "loot": False}


def test_a_clean_container_takes_its_place_and_the_evidence_has_the_old_one(
    contained: Contained,
) -> None:
    old = contained.container()
    contained.podman.run("exec", "pay", "sh", "-c", "echo loot >/tmp/loot")
    assert contained.ask() == {"back": 200, "loot": True}
    found = recovered(contained.mesh, contain(contained.mesh, "full", "pay")["id"])
    assert {one["state"] for one in found["steps"]} == {"verified"}
    assert "the old certificate" in steps(found)["replace"]["outcome"]
    assert contained.ask() == {"back": 200, "loot": False}
    assert contained.container() != old
    kept = found["evidence"]
    manifest = verify_archive(Path(kept["archive"]), key=kept["key"], digest=kept["digest"])
    names = {one.name for one in manifest.kept}
    assert {"driver/container.json", "driver/changes.json"} <= names
    assert "logs/sidecar-access.log" in names


def test_a_suspect_stays_cut_off_when_the_mesh_is_started_again_and_gets_its_network_back(
    contained: Contained,
) -> None:
    found = contain(contained.mesh, "cut", "pay")
    assert found["state"] == "contained", found["steps"]
    old = contained.container()
    start_again(contained)
    assert contained.ask() is None
    assert contained.podman.address("pay") == ""
    until(contained.mesh, found["id"], lambda _: process(contained.mesh, "pay.sidecar") is None)
    _let_go(contained, found["id"])
    assert contained.container() == old
    assert contained.podman.address("pay") != ""


def test_a_suspect_is_replaced_after_the_mesh_was_started_again(contained: Contained) -> None:
    found = contain(contained.mesh, "cut", "pay")
    old = contained.container()
    start_again(contained)
    full = recovered(contained.mesh, contain(contained.mesh, "full", "pay")["id"])
    assert full["id"] == found["id"]
    assert contained.container() != old
    assert contained.podman.address("pay") != ""
    assert contained.ask() == {"back": 200, "loot": False}


def start_again(contained: Contained) -> None:
    """Stop the mesh, and start it anew on the same state."""
    contained.mesh.process.terminate()
    contained.mesh.process.wait(WITHIN_S)
    state = contained.mesh.state
    up, summary = contained.stack.enter_context(running(state.parent / "mesh.yaml", state))
    contained.mesh = replace(contained.mesh, process=up, summary=summary)


def test_one_that_ends_is_started_again(contained: Contained) -> None:
    contained.podman.run("kill", "pay")
    deadline = time.monotonic() + WITHIN_S
    while contained.ask() != {"back": 200, "loot": False}:
        assert time.monotonic() < deadline, contained.podman.run("ps", "--all")
        time.sleep(0.1)
