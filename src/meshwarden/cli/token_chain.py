"""`meshwarden token chain`: which workloads asked for which tokens of a transaction."""

import json as jsonlib
from urllib.parse import quote

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask

app = App(
    name="chain",
    help="Show the chain of one transaction.",
    help_epilogue="Example: meshwarden token chain 0f2b7a525d1c4a0e9f0e6a2b0a4f9c11",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def chain(transaction: str, /, *, state: State = HERE, json: Json = False) -> int:
    """Show who asked for which token, the first one first.

    Args:
        transaction: its txn.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    found = ask(state, "GET", f"/v1/tokens/transactions/{quote(transaction, safe='')}")
    if json:
        print(jsonlib.dumps(found))
        return 0
    for link in found["chain"]:
        parts = " ".join(f"{one['name']} {one['weight']:+.1f}" for one in link["factors"])
        risk = "" if link["risk"] is None else f", risk {link['risk']:.1f} ({parts})"
        life = link["expires"] - link["time"]
        print(f"{link['requester']}: {' '.join(link['scopes'])} for {life} s{risk}")
    return 0
