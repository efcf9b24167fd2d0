"""`meshwarden identity registrations`: what is registered besides the mesh's own services."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from meshwarden.adapters.storage.registrations import load_registrations, render_registration
from meshwarden.kernel import ConfigError

STATE: Final = Path(".meshwarden")


def show_registrations(
    *, state: Path = STATE, json: Annotated[bool, Parameter(negative="")] = False
) -> int:
    """List what is registered; the mesh's own services have their identities without it.

    Example: meshwarden identity registrations --json

    Args:
        state: the state directory of the mesh.
        json: print one JSON object.
    """
    if not state.is_dir():
        raise ConfigError(
            "state.missing", f"there is no state directory {state}",
            hint="name the one of the mesh with --state",
        )  # fmt: skip
    found = [render_registration(one) for one in load_registrations(state / "registrations.json")]
    if json:
        print(jsonlib.dumps({"registrations": found}))
        return 0
    for one in found:
        selectors = " ".join(f"{name}={value}" for name, value in one["selectors"].items())
        print(f"{one['identity']}  {selectors}")
    if not found:
        print("nothing is registered besides the mesh's own services")
    return 0
