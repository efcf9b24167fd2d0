"""`meshwarden token erase`: forget what is kept of a subject to judge risk."""

import json as jsonlib

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask

app = App(
    name="erase",
    help="Forget a subject's history (GDPR, article 17).",
    help_epilogue="Example: meshwarden token erase 8f21",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def erase(subject: str, /, *, state: State = HERE, json: Json = False) -> int:
    """Forget a subject; exit code 0 whether or not anything was known.

    Args:
        subject: as transaction tokens name it.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    found = ask(state, "POST", "/v1/tokens/erase", {"subject": subject})
    print(jsonlib.dumps(found) if json else "erased" if found["erased"] else "nothing was known")
    return 0
