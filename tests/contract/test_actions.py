"""What every action does, on a real mesh: judged, done, shown, undone or said to be irreversible.

Two incidents go through all of the catalogue. One is let go by a person, so that everything that
can be undone is; the other ends with a clean instance.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.isolated_mesh import Isolated, isolated_mesh
from tests.e2e.response_mesh import NEEDS_ROOT, PING, api, contain, recovered, release, until

from meshwarden.response import CATALOGUE

pytestmark = [NEEDS_ROOT, pytest.mark.e2e, pytest.mark.timeout(300)]
KEY = "a-secret-of-the-tests"
HEAD = "apiVersion: meshwarden.dev/v1\ntime_box: 1h\n"
PLAYBOOKS = {
    "reversible": "[throttle, quarantine, notify, snapshot]",
    "everything": "[throttle, quarantine, revoke-svid, revoke-sessions, notify, snapshot,"
    " rotate-secrets, replace]",
}
FILES = {
    f"{name}.yaml": f"{HEAD}playbook: {name}\nsteps: {steps}\n" for name, steps in PLAYBOOKS.items()
} | {"key": KEY}
RESPONSE = """\
response:
  playbooks: [observe, ./reversible.yaml, ./everything.yaml]
  secrets: {shell: [{file: key, overlap_s: 0.5}]}
"""
REVERSIBLE = [name for name, spec in CATALOGUE.items() if spec.reversible]


@dataclass(frozen=True, kw_only=True)
class Gone:
    """The two incidents, each with its record; what peers answered the clean instance."""

    released: dict[str, Any]
    replaced: dict[str, Any]
    codes: set[str]


@pytest.fixture(scope="module")
def gone() -> Iterator[Gone]:
    with isolated_mesh(more=RESPONSE, files=FILES) as mesh:
        released = contain(mesh, "reversible")["id"]
        until(mesh, released, _is_applied)
        release(mesh, released)
        replaced = recovered(mesh, contain(mesh, "everything")["id"])["id"]
        assert (mesh.state.parent / "key").read_text() != KEY
        many = f"for n in $(seq 12); do {PING}; echo; done"
        codes = set(mesh.shell(many)[1].split())
        yield Gone(released=_shown(mesh, released), replaced=_shown(mesh, replaced), codes=codes)


def _is_applied(incident: dict[str, Any]) -> bool:
    return all(step["state"] in {"verified", "failed"} for step in incident["steps"])


def _shown(mesh: Isolated, incident: str) -> dict[str, Any]:
    return api(mesh, "GET", f"/v1/incidents/{incident}")


def kinds_of(incident: dict[str, Any], action: str) -> list[str]:
    """Return what the record says of `action`, in order; approvals left out."""
    entries = [one for one in incident["record"] if one["data"].get("action") == action]
    return [one["kind"] for one in entries if one["kind"] != "approved"]


def outcome_of(incident: dict[str, Any], action: str, kind: str) -> str:
    [found] = [
        one["data"]["outcome"]
        for one in incident["record"]
        if one["kind"] == kind and one["data"].get("action") == action
    ]
    return str(found)


def test_the_two_go_through_the_whole_catalogue(gone: Gone) -> None:
    assert {step["action"] for step in gone.released["steps"]} == set(REVERSIBLE)
    assert {step["action"] for step in gone.replaced["steps"]} == set(CATALOGUE)


@pytest.mark.parametrize("action", CATALOGUE)
def test_it_is_begun_on_record_done_and_shown(gone: Gone, action: str) -> None:
    assert kinds_of(gone.replaced, action)[:3] == ["started", "applied", "verified"]
    assert outcome_of(gone.replaced, action, "applied")
    assert outcome_of(gone.replaced, action, "verified")


@pytest.mark.parametrize("action", REVERSIBLE)
def test_what_can_be_undone_is_undone_in_reverse(gone: Gone, action: str) -> None:
    assert kinds_of(gone.released, action) == ["started", "applied", "verified", "undone"]
    assert outcome_of(gone.released, action, "undone")
    undone = [one["data"]["action"] for one in gone.released["record"] if one["kind"] == "undone"]
    assert undone == [step["action"] for step in gone.released["steps"]][::-1]


@pytest.mark.parametrize("action", sorted(set(CATALOGUE) - set(REVERSIBLE)))
def test_what_is_irreversible_is_never_undone(gone: Gone, action: str) -> None:
    assert "undone" not in kinds_of(gone.replaced, action)


def test_the_clean_instance_is_not_slowed_down_for_the_old_one(gone: Gone) -> None:
    assert gone.codes == {"200"}


def test_no_secret_is_on_record(gone: Gone) -> None:
    assert KEY not in str(gone.replaced["record"])


def test_the_evidence_outlives_the_suspect(gone: Gone) -> None:
    assert gone.replaced["evidence"]["digest"]
    assert Path(gone.replaced["evidence"]["archive"]).name.startswith(gone.replaced["id"])
