"""`meshwarden token revoke`: no token from now on, and live ones refused at every hop."""

import json as jsonlib
import sys

from cyclopts import App

from meshwarden.cli.identity_mesh import HERE, Json, State, ask
from meshwarden.kernel import ConfigError
from meshwarden.tokens import session_hash

app = App(
    name="revoke",
    help="Revoke a session, a subject or a transaction, at every hop.",
    help_epilogue="Example: meshwarden token revoke --subject 8f21 --reason 'phone stolen'",
    help_format="plaintext",
    result_action="return_value",
)


@app.default
def revoke(
    *,
    session: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
    transaction: str | None = None,
    reason: str = "",
    state: State = HERE,
    json: Json = False,
) -> int:
    """Revoke one thing; exit code 1 where a sidecar has not confirmed.

    Args:
        session: a session's hash, as tokens and records show it; with --issuer, its id there.
        issuer: the identity provider whose session id is given.
        subject: all sessions of a subject, as of now; whoever signs in again goes on.
        transaction: one transaction, by its txn.
        reason: kept in the record.
        state: state directory of the running mesh.
        json: print one JSON object.
    """
    given = {"session": session, "subject": subject, "transaction": transaction}
    named = [(kind, value) for kind, value in given.items() if value is not None]
    if len(named) != 1:
        raise ConfigError(
            "token.revoke", "name one of --session, --subject, --transaction", hint="see --help"
        )
    kind, value = named[0]
    if kind == "session" and issuer is not None:
        value = session_hash(issuer, value)
    found = ask(
        state, "POST", "/v1/tokens/revoke", {"kind": kind, "value": value, "reason": reason}
    )
    if json:
        print(jsonlib.dumps(found))
    else:
        print(f"the {kind} is revoked; every hop refuses it after {found['enforced_ms']:.1f} ms")
    if found["pending"]:
        print(f"not confirmed by: {', '.join(found['pending'])}", file=sys.stderr)
    if not found["recorded"]:
        print("in force, but not recorded: the disk does not take it", file=sys.stderr)
    return 1 if found["pending"] or not found["recorded"] else 0
