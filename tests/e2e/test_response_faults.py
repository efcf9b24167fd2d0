"""What goes wrong while a response is under way: crashes, silence, a full disk, a fighting suspect."""

import contextlib
import http.client
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from tests.e2e.isolated_mesh import Isolated, isolated_mesh
from tests.e2e.response_mesh import (
    FILES,
    NEEDS_ROOT,
    PING,
    RESPONSE,
    WITHIN_S,
    api,
    contain,
    kill_control_plane,
    process,
    recovered,
    release,
    steps,
    until,
)

from meshwarden.response import EntryKind

pytestmark = [NEEDS_ROOT, pytest.mark.e2e, pytest.mark.timeout(600)]
FORKS = "setsid sh -c 'while :; do sleep 1000 & sleep 0.02; done' >/dev/null 2>&1 & echo started"
ASKED, OVER = 8, 26  # entries of a record when all is approved, and when it is over
# Drawn, not picked; tests/unit takes every entry there is.
MOMENTS = sorted(random.Random(7).sample(range(ASKED, OVER), 3))  # noqa: S311
FLOODS = (  # calls and connects as fast as it can, and ends the service again and again
    "setsid sh -c 'while :; do curl -s -m 1 -o /dev/null -d @/proc/self/exe http://back/v1/ping;"
    " curl -s -m 1 -o /dev/null http://{host}:15443/; done & "
    "sleep 1; while :; do pkill -9 -f [s]hell.py; sleep 0.3; done' >/dev/null 2>&1 & echo started"
)
FLOODING = "ps -e -o args= | grep -c '[c]url -s -m 1'"
COUNT = "ps -e -o args= | grep -c '[s]leep 1000'"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Isolated]:
    with isolated_mesh(more=RESPONSE, files=FILES) as one:
        yield one


@pytest.mark.parametrize("entries", MOMENTS)
def test_a_control_plane_that_is_killed_at_any_moment_goes_on(mesh: Isolated, entries: int) -> None:
    known = set(incidents(mesh))
    asking = threading.Thread(target=_ask, args=(mesh,))
    asking.start()
    incident = _has_written(mesh, entries, known)
    kill_control_plane(mesh)
    asking.join()
    found = recovered(mesh, incident)
    assert mesh.shell(PING) == (0, "200")
    kinds = [(entry["kind"], entry["data"].get("action")) for entry in found["record"]]
    for kind in (EntryKind.APPLIED, EntryKind.VERIFIED):
        assert kinds.count((kind, "replace")) == 1


def test_quarantine_outlives_the_control_plane(mesh: Isolated) -> None:
    found = contain(mesh, "cut")
    assert found["state"] == "contained", found
    kill_control_plane(mesh)
    assert mesh.shell(PING)[1] != "200"
    assert api(mesh, "GET", f"/v1/incidents/{found['id']}")["state"] == "contained"
    release(mesh, found["id"])


def test_a_suspect_that_forks_is_ended_with_all_that_it_started(mesh: Isolated) -> None:
    assert mesh.shell(FORKS) == (0, "started\n")
    found = recovered(mesh, contain(mesh, "full")["id"])
    assert steps(found)["snapshot"]["state"] == "verified"
    assert mesh.shell(COUNT)[1].strip() == "0"
    assert mesh.shell(PING) == (0, "200")


def test_a_suspect_that_ends_by_itself_stays_contained(mesh: Isolated) -> None:
    found = contain(mesh, "cut")
    suspect = process(mesh, "shell")
    assert suspect is not None
    os.kill(suspect, signal.SIGKILL)
    assert api(mesh, "GET", f"/v1/incidents/{found['id']}")["state"] == "contained"
    release(mesh, found["id"])


def test_a_suspect_that_has_ended_is_replaced_all_the_same(mesh: Isolated) -> None:
    found = contain(mesh, "cut")
    suspect = process(mesh, "shell")
    assert suspect is not None
    os.kill(suspect, signal.SIGKILL)
    found = recovered(mesh, contain(mesh, "full")["id"])
    assert steps(found)["snapshot"]["state"] == "verified"
    assert mesh.shell(PING) == (0, "200")


def test_a_suspect_that_restarts_and_floods_all_the_time_gets_nothing_through(
    mesh: Isolated,
) -> None:
    assert mesh.shell(FLOODS.format(host=mesh.host("back"))) == (0, "started\n")
    found = contain(mesh, "cut")
    said = steps(found)["quarantine"]
    assert said["state"] == "verified", said
    assert re.search(r"; 0 octets arrived at \d+ receivers", said["outcome"])
    recovered(mesh, contain(mesh, "full")["id"])
    assert mesh.shell(PING) == (0, "200")
    assert mesh.shell(FLOODING)[1].strip() == "0"


def test_a_peer_that_does_not_confirm_is_named_and_the_network_holds(mesh: Isolated) -> None:
    silent = process(mesh, "back.sidecar")
    assert silent is not None
    os.kill(silent, signal.SIGSTOP)
    try:
        found = contain(mesh, "cut")
        record = api(mesh, "GET", f"/v1/incidents/{found['id']}")["record"]
    finally:
        os.kill(silent, signal.SIGCONT)
    [applied] = [one["data"]["outcome"] for one in record if one["kind"] == "applied"]
    assert "not confirmed by back" in applied
    assert found["state"] == "contained"
    release(mesh, found["id"])


def test_a_full_disk_keeps_no_evidence_and_the_suspect_stays_contained(mesh: Isolated) -> None:
    with full_disk(mesh):
        found = contain(mesh, "full")
        found = until(
            mesh, found["id"], lambda one: steps(one)["snapshot"]["state"] in {"failed", "verified"}
        )
    assert steps(found)["snapshot"]["state"] == "failed"
    assert steps(found)["quarantine"]["state"] == "verified"
    assert steps(found)["replace"]["state"] == "planned", "evidence must not be destroyed"


@contextlib.contextmanager
def full_disk(mesh: Isolated) -> Iterator[None]:
    """Let archives of evidence go to a disk of a few pages."""
    place = mesh.state / "evidence"
    place.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place], check=True)  # noqa: S607
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)  # noqa: S607


def _has_written(mesh: Isolated, entries: int, known: set[str]) -> str:
    """Return the new incident once its record has so many entries, looking into the store itself."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        for incident, count in incidents(mesh).items():
            if incident not in known and count >= entries:
                return incident
    raise AssertionError(incidents(mesh))


def incidents(mesh: Isolated) -> dict[str, int]:
    """Return how many entries each incident's record has, by id."""
    place = mesh.state / "incidents/incidents.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as store:
        rows = store.execute("SELECT incident, count(*) FROM incident_entries GROUP BY incident")
        return {str(incident): int(count) for incident, count in rows}


def _ask(mesh: Isolated) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):  # it is killed meanwhile
        contain(mesh, "full")
