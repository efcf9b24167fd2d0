"""`meshwarden identity bundle`: the roots that verify every certificate of a mesh."""

import json as jsonlib
from typing import Annotated, Literal

from cyclopts import App, Parameter

from meshwarden.cli.identity_mesh import HERE, Json, State, ask

app = App(
    name="bundle",
    help="Print the trust bundle of a running mesh.",
    help_epilogue="Example: meshwarden identity bundle --format spiffe > bundle.json",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def bundle(
    *,
    state: State = HERE,
    form: Annotated[Literal["pem", "spiffe"], Parameter(name="--format")] = "pem",
    json: Json = False,
) -> int:
    """Print the bundle.

    Args:
        state: state directory of the running mesh.
        form: pem, or spiffe: the JSON of the SPIFFE Trust Domain and Bundle standard.
        json: print one JSON object with the trust domain and both.
    """
    found = ask(state, "GET", "/v1/identity/bundle")
    if json:
        print(jsonlib.dumps(found))
    elif form == "spiffe":
        print(jsonlib.dumps(found["spiffe"], indent=2))
    else:
        print(found["pem"], end="")
    return 0
