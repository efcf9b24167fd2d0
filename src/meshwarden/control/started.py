"""What a running mesh has, as its supervisor wrote down: processes by number and start, instances.

An instance of a service lasts until it is replaced; ends and restarts in between are the same one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshwarden.adapters.forensics import Selection
from meshwarden.adapters.process.account import find_account
from meshwarden.control.layout import Layout
from meshwarden.control.mesh import Mesh
from meshwarden.identity import Session


def load_started(path: Path) -> Mapping[str, Session]:
    """Return the leader of each process' session, by name; nothing where `up` runs no mesh here."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        return {
            name: Session(leader=found["processes"][name], start_ticks=ticks)
            for name, ticks in found["started"].items()
            if isinstance(ticks, int) and isinstance(found["processes"].get(name), int)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # not started by `up`, or not yet


def load_instances(path: Path) -> Mapping[str, str]:
    """Return the name of each service's instance; nothing where `up` runs no mesh here."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        return {
            str(service): name
            for service, name in found["instances"].items()
            if isinstance(name, str)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def selection_of(mesh: Mesh, layout: Layout, service: str, *, leader: int) -> Selection:
    """Return which processes are those of `service`, whose first one is `leader`.

    Isolated, all of a user that is this service's alone; else what descends from the leader.
    """
    if not layout.isolated:
        return Selection(leader=leader)
    user = mesh.services[service].user
    uid = find_account(user, asker=service).uid if user else layout.service_uid(service)
    return Selection(leader=leader, uid=uid)
