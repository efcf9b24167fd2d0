"""`meshwarden token keys`: the keys that sign transaction tokens."""

import json as jsonlib
from typing import Annotated

from cyclopts import App, Parameter

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.kernel import ConfigError

app = App(
    name="keys",
    help="Show the signing keys; publish the next one, or take one back at once.",
    help_epilogue="Example: meshwarden token keys --rotate",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def keys(
    *,
    rotate: Annotated[bool, Parameter(negative="")] = False,
    withdraw: str | None = None,
    state: State = HERE,
    json: Json = False,
) -> int:
    """Show the signing keys, after what is asked for is done.

    Args:
        rotate: publish the next key now; it signs once every hop has had time to see it.
        withdraw: the kid of a key whose secret may be known: its tokens are refused at once.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    if rotate and withdraw is not None:
        raise ConfigError("token.keys", "--rotate and --withdraw are two steps")
    body: dict[str, object] | None = {} if rotate else None
    body = {"withdraw": withdraw} if withdraw is not None else body
    found = (
        ask(state, "GET", "/v1/tokens")
        if body is None
        else ask(state, "POST", "/v1/tokens/rotate", body)
    )
    if json:
        print(jsonlib.dumps(found))
        return 0
    for key in found["keys"]:
        print(f"{key['kid']}  {key['algorithm']}  {key['status']}  from {key['signs_from']}")
    return 0
