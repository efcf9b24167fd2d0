"""Third-party data that is not in the repository: where it is, if it is on this machine."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def shared_file(name: str) -> Path:
    """Return `name` (below `MESHWARDEN_DATA`'s parent, or a folder `shared` beside or above the repository)."""
    data = os.environ.get("MESHWARDEN_DATA")
    places = [Path(data).parent] if data else [up / "shared" for up in ROOT.parents]
    for place in places:
        if (place / name).exists():
            return place / name
    pytest.skip(f"{name} is not on this machine")
