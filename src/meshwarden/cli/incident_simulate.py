"""`meshwarden incident simulate`: what following a playbook would do now."""

import json as jsonlib

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask

app = App(
    name="simulate",
    help="What following a playbook would do now, without doing it.",
    help_epilogue="Example: meshwarden incident simulate 20260302-100812-09a93e --playbook full",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def simulate(
    incident: str, /, *, playbook: str | None = None, state: State = HERE, json: Json = False
) -> int:
    """Run the very decisions of a response on live state; exit code 1 where a step would not run.

    Args:
        incident: its id.
        playbook: a shipped one by name or a file by path; the one that it follows unless given.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    body: dict[str, object] = {} if playbook is None else {"playbook": playbook}
    found = ask(state, "POST", f"/v1/incidents/{incident}/simulate", body)
    if json:
        print(jsonlib.dumps(found))
    else:
        for line in found["foreseen"]:
            print(f"{line['action']:16} {line['outcome']}  {line['reason']}".rstrip())
    return 0 if all(one["outcome"] == "would be done" for one in found["foreseen"]) else 1
