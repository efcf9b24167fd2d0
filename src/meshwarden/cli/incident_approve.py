"""`meshwarden incident approve`: let a step go on that waits for people."""

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.cli.incident_shared import Who, name_of, tell

app = App(
    name="approve",
    help="Approve a step that waits for people.",
    help_epilogue="Example: meshwarden incident approve 20260302-100812-09a93e quarantine",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def approve(
    incident: str,
    action: str,
    /,
    *,
    who: Who = None,
    state: State = HERE,
    json: Json = False,
) -> int:
    """Approve one step; where two people are asked for, the second has another name.

    Args:
        incident: its id.
        action: the step that waits.
        who: your name for the record; the account that is logged in unless given.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    body: dict[str, object] = {"action": action, "who": name_of(who)}
    tell(ask(state, "POST", f"/v1/incidents/{incident}/approve", body), json=json)
    return 0
