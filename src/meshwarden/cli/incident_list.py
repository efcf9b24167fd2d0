"""`meshwarden incident list`: all incidents of a running mesh, and the guard rails."""

import json as jsonlib

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.cli.incident_shared import code_of, line_of

app = App(
    name="list",
    help="All incidents, and the guard rails.",
    help_epilogue="Example: meshwarden incident list --state .meshwarden --json",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def list_incidents(*, state: State = HERE, json: Json = False) -> int:
    """List incidents, oldest first; exit code 1 while one is not over.

    Args:
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    found = ask(state, "GET", "/v1/incidents")
    if json:
        print(jsonlib.dumps(found))
    else:
        for incident in found["incidents"]:
            print(line_of(incident))
        rails = ", ".join(f"{name} {value}" for name, value in found["guard_rails"].items())
        print(f"guard rails: {rails}")
        if not found["automatic"]:
            print("nothing is done by itself: switched off")
    return max((code_of(one) for one in found["incidents"]), default=0)
