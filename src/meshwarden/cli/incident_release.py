"""`meshwarden incident release`: let a suspect back in."""

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.cli.incident_shared import Who, code_of, name_of, tell

app = App(
    name="release",
    help="Let a suspect back in: undo, in reverse, what can be undone.",
    help_epilogue="Example: meshwarden incident release 20260302-100812-09a93e --reason 'our test'",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def release(
    incident: str,
    /,
    *,
    reason: str = "",
    who: Who = None,
    state: State = HERE,
    json: Json = False,
) -> int:
    """Undo a response and prove that the service is well; exit code 1 where it is not yet.

    Args:
        incident: its id.
        reason: kept in the record.
        who: your name for the record; the account that is logged in unless given.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    body: dict[str, object] = {"reason": reason, "who": name_of(who)}
    found = ask(state, "POST", f"/v1/incidents/{incident}/release", body)
    tell(found, json=json)
    return code_of(found)
