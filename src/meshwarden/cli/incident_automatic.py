"""`meshwarden incident automatic`: act by oneself, or only observe."""

import json as jsonlib
from typing import Literal

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.cli.incident_shared import Who, name_of

app = App(
    name="automatic",
    help="Act by oneself, or only observe.",
    help_epilogue="Example: meshwarden incident automatic off",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def automatic(
    wanted: Literal["on", "off"], /, *, who: Who = None, state: State = HERE, json: Json = False
) -> int:
    """Switch automatic actions on or off, until the control plane starts again.

    Args:
        wanted: `off`: what nobody asked for is only observed.
        who: your name for the log; the account that is logged in unless given.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    body: dict[str, object] = {"on": wanted == "on", "who": name_of(who)}
    found = ask(state, "POST", "/v1/incidents/automatic", body)
    print(jsonlib.dumps(found) if json else f"automatic: {wanted}")
    return 0
