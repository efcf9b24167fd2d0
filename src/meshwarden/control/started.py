"""Which processes a running mesh has, as its supervisor wrote down: each by number and start."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
