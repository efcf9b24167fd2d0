"""`meshwarden incident contain`: follow a playbook because a person says so."""

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.cli.incident_shared import Who, name_of, tell

app = App(
    name="contain",
    help="Follow a playbook because you say so.",
    help_epilogue="Example: meshwarden incident contain payments --playbook full",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def contain(
    service: str,
    /,
    *,
    playbook: str = "quarantine",
    who: Who = None,
    state: State = HERE,
    json: Json = False,
) -> int:
    """Contain the instance of a service, within the guard rails; exit code 1 where it is not yet.

    Args:
        service: its name in the mesh.
        playbook: one that the mesh has, or a shipped one; asking is one approval of each step.
        who: your name for the record; the account that is logged in unless given.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    body: dict[str, object] = {"service": service, "playbook": playbook, "who": name_of(who)}
    found = ask(state, "POST", "/v1/incidents/contain", body)
    tell(found, json=json)
    return 0 if found["verified"] or found["recovered"] else 1
