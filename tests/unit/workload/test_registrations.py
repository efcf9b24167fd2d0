"""Which registrations follow from the mesh's own services."""

import json
import os
import pwd
from dataclasses import replace
from pathlib import Path

from tests.unit.plane.bench import Bench

from meshwarden.control.mesh import Mesh
from meshwarden.control.workload.registrations import Registrations


def registered(bench: Bench, mesh: Mesh) -> set[str]:
    names = ("front", "back")
    found = {"processes": dict.fromkeys(names, 7), "started": dict.fromkeys(names, 70)}
    bench.layout.processes.parent.mkdir(parents=True, exist_ok=True)
    bench.layout.processes.write_text(json.dumps(found))
    policy = bench.plane().published.policy
    known = Registrations(mesh=mesh, layout=bench.layout, policy=lambda: policy).known()
    return {str(one.identity).rpartition("/")[2] for one in known}


def as_user(mesh: Mesh, name: str, user: str) -> Mesh:
    return replace(mesh, services={**mesh.services, name: replace(mesh.services[name], user=user)})


def test_a_service_whose_account_is_gone_has_no_identity_and_the_others_keep_theirs(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    ours = pwd.getpwuid(os.getuid()).pw_name
    assert registered(bench, as_user(bench.mesh, "front", ours)) == {"front", "back"}
    assert registered(bench, as_user(bench.mesh, "front", "nobody-has-this-name")) == {"back"}
