"""`meshwarden incident close`: end an incident."""

from typing import Annotated

from cyclopts import App, Parameter

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.cli.incident_shared import Who, name_of, tell

app = App(
    name="close",
    help="End an incident.",
    help_epilogue="Example: meshwarden incident close 20260302-100812-09a93e --false-alarm",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def close(
    incident: str,
    /,
    *,
    false_alarm: Annotated[bool, Parameter(negative="")] = False,
    who: Who = None,
    state: State = HERE,
    json: Json = False,
) -> int:
    """End an incident that holds nothing any more.

    Args:
        incident: its id.
        false_alarm: nothing was wrong.
        who: your name for the record; the account that is logged in unless given.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    verdict = "false-alarm" if false_alarm else "closed"
    body: dict[str, object] = {"verdict": verdict, "who": name_of(who)}
    tell(ask(state, "POST", f"/v1/incidents/{incident}/close", body), json=json)
    return 0
